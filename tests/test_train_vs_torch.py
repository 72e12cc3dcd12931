"""The parts of benchmarks/train_vs_torch.py that need no PyTorch: its judgement, its figures, how it ends."""

import json
import math
import signal
import sys
from importlib import metadata
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import train_vs_torch
    monkeypatch.setattr(train_vs_torch.metadata, "version", lambda name: "1.0")
    yield train_vs_torch
    for name in ("train_vs_torch", "contenders"):
        sys.modules.pop(name)


def worker_that_answers(losses, step_seconds):
    """In place of a contender's process; notes the order of the blocks."""
    class Worker:
        asked = []

        def __init__(self, contender, net, threads):
            self.name = f"{contender}, {threads}"

        def ask(self, command, number):
            self.asked.append((self.name, command))
            return losses[self.name] if command == "losses" else step_seconds[self.name]

        def close(self):
            self.asked.append((self.name, "close"))
    return Worker


SAME = {name: [2.0, 1.5] for name in ("minicnn, 2", "torch-nchw, 2", "torch-nhwc, 2", "minicnn, 1")}
SECONDS = {"minicnn, 2": [0.5, 0.4, 0.6], "torch-nchw, 2": [4.0], "torch-nhwc, 2": [1.0], "minicnn, 1": [1.0, 0.8]}


def test_without_pytorch_it_says_so_in_one_line(script, monkeypatch, capsys):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(script.metadata, "version", missing)
    assert script.main([]) == 4
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "PyTorch is not installed" in err


def test_losses_that_differ_stop_it_before_any_time_is_taken(script, monkeypatch, capsys):
    worker = worker_that_answers(SAME | {"torch-nhwc, 2": [2.0, 1.5 * (1 + 2 * script.TOLERANCE)]}, SECONDS)
    monkeypatch.setattr(script, "Worker", worker)
    assert script.main(["--nets", "lenet"]) == 1
    assert {command for _, command in worker.asked} == {"losses", "close"}
    out, err = capsys.readouterr()
    assert out == "" and "lenet: the losses of 5 steps differ by 2.0e-04" in err


@pytest.mark.parametrize("losses, expected", [
    ([[1.0, 2.0], [1.0, 2.0]], 0), ([[1.0, 2.0], [1.0, 2.5], [1.0, 2.25]], 0.2), ([[math.nan, 2.0], [1.0, 2.0]], math.nan)])
def test_disagreement(script, losses, expected):
    found = script.disagreement(dict(enumerate(losses)))
    assert found == pytest.approx(expected, nan_ok=True) and (found <= script.TOLERANCE) == (expected == 0)


def test_the_figures(script, monkeypatch, capsys):
    worker = worker_that_answers(SAME, SECONDS)
    monkeypatch.setattr(script, "Worker", worker)
    assert script.main(["--nets", "tinyvgg", "--rounds", "2", "--json"]) == 0
    blocks = [name for name, command in worker.asked if command == "train"]
    assert blocks == 2 * list(SAME)                                     # A B C D A B C D
    found = json.loads(capsys.readouterr().out)
    result, = found["results"]
    assert result["rates"]["minicnn, 2"]["median"] == 64 / 0.5 and result["rates"]["minicnn, 2"]["steps"] == 6
    assert result["rates"]["minicnn, 2"]["p20"] == pytest.approx(64 / 0.6) and result["rates"]["minicnn, 2"]["p80"] == 64 / 0.4
    assert result["ratio"] == 2.0 and result["ratio_of_each_round"] == [2.0, 2.0]           # to the faster format
    assert result["scaling"] == pytest.approx(0.9 / 0.5)
    assert found["versions"]["torch"] == "1.0" and found["threads"] == 2


def test_the_table(script, monkeypatch, capsys):
    monkeypatch.setattr(script, "Worker", worker_that_answers(SAME, SECONDS))
    assert script.main(["--nets", "tinyvgg"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["minicnn,", "2", "128", "107", "160", "21", "2.00"] in rows
    assert ["torch-nchw,", "2", "16", "16", "16", "7", "0.25"] in rows


def test_one_thread_is_compared_once(script, monkeypatch, capsys):
    one = {name.replace(", 2", ", 1"): seconds for name, seconds in SECONDS.items()}
    monkeypatch.setattr(script, "Worker", worker_that_answers(dict.fromkeys(one, [1.0]), one))
    assert script.main(["--nets", "lenet", "--threads", "1", "--json"]) == 0
    result, = json.loads(capsys.readouterr().out)["results"]
    assert list(result["rates"]) == ["minicnn, 1", "torch-nchw, 1", "torch-nhwc, 1"] and "scaling" not in result


@pytest.mark.parametrize("argv", [["--nets", "alexnet"], ["--threads", "0"], ["--rounds", "0"], ["--seconds", "nan"]])
def test_what_it_refuses(script, argv):
    with pytest.raises(SystemExit) as caught:
        script.main(argv)
    assert caught.value.code == 2


needs_stop = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system can not stop a process")


@needs_stop
def test_a_contender_trains(script):
    """Ours, the way the script runs it, for as long as one step."""
    worker = script.Worker("minicnn", "lenet", 2)
    try:
        losses = worker.ask("losses", 3)
        assert len(losses) == 3 and worker.ask("losses", 3) == losses           # from the first weights, each time
        times = worker.ask("train", 1e-3)
        assert len(times) == 1 and times[0] > 0
        assert worker.process.poll() is None
    finally:
        worker.close()
    assert worker.process.poll() is not None


@needs_stop
def test_a_contender_that_dies_is_named(script):
    worker = script.Worker("minicnn", "no such net", 2)
    with pytest.raises(RuntimeError, match="minicnn, 2 threads: its process ended with exit code 1"):
        worker.ask("losses", 3)
    worker.close()
