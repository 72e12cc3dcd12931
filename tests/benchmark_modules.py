"""The scripts of benchmarks/ as modules, for their tests: they import each other by bare names, as scripts do."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
NAMES = {path.stem for path in BENCHMARKS.glob("*.py")}


def imported(monkeypatch):
    """Yields `__import__` with benchmarks/ on the path, and forgets the modules afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield __import__
    for name in NAMES & sys.modules.keys():
        del sys.modules[name]


def worker_that_answers(answers: dict):
    """In place of a contender's process: answers[name] is a function of a command's words. Notes who was asked what."""
    class Worker:
        asked = []

        def __init__(self, name, script, *words):
            self.name = name

        def ask(self, *words):
            self.asked.append((self.name, words[0]))
            return answers[self.name](*words)

        def close(self):
            self.asked.append((self.name, "close"))
    return Worker
