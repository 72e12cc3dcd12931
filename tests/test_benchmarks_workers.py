"""Contenders in processes of their own (benchmarks/workers.py), and the figures made from their times."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import benchmark_modules
import pytest

needs_stop = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system can not stop a process")
modules = pytest.fixture(benchmark_modules.imported)


@needs_stop
def test_a_contender_trains(modules):
    """Ours, the way the script runs it, for as long as one step; it stands still in between."""
    workers = modules("workers")
    with workers.hired([workers.Worker("ours", "train_contenders.py", "minicnn", "lenet", 2)]) as (worker,):
        losses = worker.ask("losses", 3)
        assert len(losses) == 3 and worker.ask("losses", 3) == losses           # from the first weights, each time
        times = worker.ask("train", 1e-3)
        assert len(times) == 1 and times[0] > 0
        assert worker.process.poll() is None
        assert Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    assert worker.process.poll() is not None


def test_workers_together_run_at_once_and_share_a_call(modules):
    workers, both = modules("workers"), threading.Barrier(2)

    class Waiting:
        def ask(self, command, amount):
            both.wait(60)                               # none comes past it alone
            return [amount, 2 * amount]

        def close(self):
            closed.append(self)

    closed: list = []
    together = workers.Together("both", [Waiting(), Waiting()])
    assert together.ask("train", 0.5) == [0.25, 0.5, 0.25, 0.5]
    together.close()
    assert len(closed) == 2


@needs_stop
def test_a_contender_infers(modules):
    workers = modules("workers")
    with workers.hired([workers.Worker("ours", "infer_contenders.py", "minicnn", "lenet", 2)]) as (worker,):
        outputs = worker.ask("outputs", 2)
        assert [len(row) for row in outputs] == [10, 10] and sum(outputs[0]) == pytest.approx(1)
        assert len(worker.ask("infer", 1, 1e-6)) == 1


@needs_stop
def test_a_contender_that_dies_is_named(modules, capfd):
    workers = modules("workers")
    with workers.hired([workers.Worker("minicnn, 2 threads", "train_contenders.py", "minicnn", "no such net", 2)]) as (worker,):
        with pytest.raises(RuntimeError, match="minicnn, 2 threads: its process ended with exit code 1"):
            worker.ask("losses", 3)
    assert "KeyError" in capfd.readouterr().err


@needs_stop
def test_sigterm_leaves_no_stopped_process(modules):
    workers, before = modules("workers"), signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        with workers.hired([workers.Worker("ours", "train_contenders.py", "minicnn", "lenet", 1)]) as (worker,):
            os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.code == 143 and worker.process.poll() is not None and signal.getsignal(signal.SIGTERM) is before


@needs_stop
def test_a_stopped_worker_does_not_outlive_a_killed_script():
    code = ("import sys, time; sys.path.insert(0, sys.argv[1]); import workers\n"
            "worker = workers.Worker('ours', 'train_contenders.py', 'minicnn', 'lenet', 1)\n"
            "worker.process.send_signal(workers.signal.SIGSTOP)\nprint(worker.process.pid, flush=True)\ntime.sleep(600)")
    script = subprocess.Popen([sys.executable, "-c", code, str(benchmark_modules.BENCHMARKS)], stdout=subprocess.PIPE, text=True)
    worker = int(script.stdout.readline())
    script.kill()
    script.communicate()
    end = time.monotonic() + 30
    try:
        while alive(worker):
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("answers, expected", [
    ([[1.0, 2.0], [1.0, 2.0]], 0), ([[1.0, 2.0], [1.0, 2.5], [1.0, 2.25]], 0.2), ([[math.nan, 2.0], [1.0, 2.0]], math.nan),
    ([[1.0, 2.0], [1.0, math.inf]], math.nan)])
def test_stepwise_disagreement(modules, answers, expected):
    found = modules("figures").stepwise_disagreement(answers)
    assert found == pytest.approx(expected, nan_ok=True) and (found <= 1e-4) == (expected == 0)


def test_disagreement_is_relative_to_the_largest(modules):
    figures = modules("figures")
    assert figures.disagreement([[[0.0, 4.0]], [[0.5, 4.0]]]) == 0.125
    assert figures.stepwise_disagreement([[0.5, 4.0], [1.0, 4.0]]) == 0.5


def test_timed_ends_when_the_time_is_over(modules, monkeypatch):
    figures = modules("figures")
    clock = iter([0, 10, 11, 20, 22, 30, 33])                      # start, then before and after each call
    monkeypatch.setattr(figures.time, "perf_counter", lambda: next(clock))
    assert figures.timed(iter([lambda: None] * 3), 20) == [1, 2]


def test_ratio_is_to_the_fastest_peer(modules):
    figures = modules("figures")
    ours, slow, fast = (figures.rate(6, blocks) for blocks in ([[1.0], [2.0]], [[6.0], [6.0]], [[3.0], [2.0]]))
    found = figures.ratio(ours, [slow, fast])
    assert found["ratio"] == pytest.approx((6 / 1.5) / (6 / 2.5)) and found["ratio_of_each_round"] == [3.0, 1.0]
