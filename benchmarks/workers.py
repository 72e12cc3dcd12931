"""Contenders in processes of their own, of which one at a time runs.

    with hired([Worker("minicnn", SCRIPT, "lenet", 2), Worker("torch", SCRIPT, "lenet", 2)]) as workers:
        blocks = by_turns(workers, 7, "train", 2.0)             # A B A B ...: {name: [an answer for each round]}

A worker's script ends in `serve(answer)`: it reads a line of JSON, [command, *arguments], and answers with one.

While one runs, the others are stopped (SIGSTOP): the threads of an OpenMP pool go on spinning for a while after a call, and
take a core from whoever comes next.
"""
from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PR_SET_PDEATHSIG = 1            # linux/prctl.h


def this_checkout() -> dict[str, str]:
    """The environment of a process that is to measure this checkout, whichever minicnn is installed."""
    return os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}


def die_with_parent() -> None:
    """Linux kills this process when the one that started it ends: a stopped one would not see that its input has ended."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Worker:
    """A contender's process; from its first answer on it stands still but for the time of a call."""

    def __init__(self, name: str, script: str, *words):
        self.name, command = name, [sys.executable, str(Path(__file__).with_name(script)), *map(str, words)]
        self.process = subprocess.Popen(command, env=this_checkout(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=die_with_parent)

    def ask(self, command: str, *arguments):
        """Let it run until it has answered."""
        self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):      # it has ended; so is its output
            self.process.stdin.write(json.dumps([command, *arguments]) + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name}: its process ended with exit code {self.process.wait()}")
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)      # it stands
        return json.loads(answer)

    def close(self) -> None:
        self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()


class Together:
    """Workers that share nothing, all let run at once, as one contender: what the machine itself gives to so many."""

    def __init__(self, name: str, workers: list[Worker]):
        self.name, self.workers = name, workers

    def ask(self, command: str, *arguments) -> list[float]:
        """The seconds of all their calls, each as what it is of a call that all of them share."""
        with ThreadPoolExecutor(len(self.workers)) as pool:
            answers = pool.map(lambda worker: worker.ask(command, *arguments), self.workers)
            return [seconds / len(self.workers) for answer in answers for seconds in answer]

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


@contextlib.contextmanager
def hired(workers: list) -> Iterator[list]:
    """The workers; behind the block, and after SIGTERM within it, no stopped process is left."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield workers
    finally:
        for worker in workers:
            worker.close()
        signal.signal(signal.SIGTERM, before)


def by_turns(workers: list, rounds: int, command: str, *arguments) -> dict[str, list]:
    """Each round asks every worker once: {name: [answer, ...]}."""
    answers: dict[str, list] = {worker.name: [] for worker in workers}
    for number in range(rounds):
        for worker in workers:
            progress(f"{' '.join(map(str, [command, *arguments]))}: round {number + 1} of {rounds}, {worker.name}")
            answers[worker.name].append(worker.ask(command, *arguments))
    progress("")
    return answers


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def serve(answer: Callable) -> None:
    """The worker's side: `answer(command, *arguments)` for every line, until there are no more."""
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), flush=True)
