"""The folder of one training run: its name, its lock, and the small files in it.

    runs/001-tiny-digits/
      model.safetensors   the best weights, layers, classes, preprocessing          (model_file.py)
      last.safetensors    everything to resume exactly                              (checkpoint.py)
      run.json            all settings, data fingerprint, versions, machine, result
      log.jsonl           one line per epoch; metrics.csv the same for spreadsheets
      skipped.txt         pictures that could not be read
      tests.jsonl         one line per opening of the test part
      diverged.npz        the batch at which the loss stopped being a number
      bug.txt             the traceback of a bug in minicnn

The lock is flock(2) on the folder itself: the kernel drops it when its holder dies, however it dies, and no lock file
is left.
"""

import csv
import io
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from . import atomic
from .errors import Busy, DataError, EnvironmentProblem, MinicnnError, UsageError

MODEL, LAST, RUN, LOG, METRICS = "model.safetensors", "last.safetensors", "run.json", "log.jsonl", "metrics.csv"
SKIPPED, TESTS, DIVERGED, BUG = "skipped.txt", "tests.jsonl", "diverged.npz", "bug.txt"
NUMBERED = re.compile(r"(\d{3,})-.*")
GOOD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class RunFolder:
    """A run's folder, locked by this process from `create` or `reopen` to `close`."""

    def __init__(self, path: Path, lock: int | None):
        self.path, self._lock = path, lock

    @classmethod
    def create(cls, out, label: str, name: str | None = None) -> "RunFolder":
        """A new folder OUT/NAME, or OUT/NNN-LABEL with the next free number.

        Raises UsageError (the name is taken or is none), EnvironmentProblem (it cannot be made).
        """
        out = Path(out)
        if name is not None and not GOOD_NAME.fullmatch(name):
            raise UsageError(f"'{name}' cannot be a run's name: use letters, digits, . _ - (at most 100, no . or - first)")
        try:
            out.mkdir(parents=True, exist_ok=True)
            path = _make_named(out, name) if name is not None else _make_numbered(out, label)
        except OSError as error:
            raise EnvironmentProblem(f"cannot make a run folder in {out}: {error.strerror}") from error
        return cls(path, _lock(path))

    @classmethod
    def reopen(cls, path) -> "RunFolder":
        """The folder of an earlier run, to go on with it. Raises UsageError, Busy; clears up after killed writers."""
        path = Path(path)
        if not path.is_dir():
            raise UsageError(f"{path}: no such run folder")
        folder = cls(path, _lock(path))
        atomic.remove_stale(path)
        return folder

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def write_json(self, document: dict) -> None:
        """Replace run.json."""
        atomic.write(self.path / RUN, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())

    def write_log(self, history: list[dict]) -> None:
        """Replace log.jsonl and metrics.csv: both follow the checkpoint's history, so a killed run leaves no line too
        many.
        """
        atomic.write(self.path / LOG, "".join(json.dumps(row) + "\n" for row in history).encode())
        table = io.StringIO()
        writer = csv.DictWriter(table, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        atomic.write(self.path / METRICS, table.getvalue().encode())

    def write_skipped(self, skipped: list[tuple]) -> None:
        """skipped: (file, reason) pairs."""
        lines = (f"{file}\t{reason}\n" for file, reason in skipped)
        atomic.write(self.path / SKIPPED, "".join(lines).encode("utf-8", "backslashreplace"))

    def write_diverged(self, **arrays) -> Path:
        """Keep the batch (images, labels, samples) and the place (epoch, step) where training broke down."""
        blob = io.BytesIO()
        np.savez_compressed(blob, **arrays)
        atomic.write(self.path / DIVERGED, blob.getvalue())
        return self.path / DIVERGED


def read_run_json(path) -> dict:
    """run.json of a run folder. Raises UsageError (no run folder), DataError (damaged)."""
    path = Path(path)
    if not path.is_dir():
        raise UsageError(f"{path}: no such run folder")
    try:
        document = json.loads((path / RUN).read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} is not a run folder: it has no {RUN}") from None
    except OSError as error:
        raise EnvironmentProblem(f"cannot read {path / RUN}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path / RUN}: not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise DataError(f"{path / RUN}: not a run's description")
    return document


def record_opening(path, accuracy: float, images: int, weights_sha256: str) -> int:
    """Add a line to tests.jsonl; returns how often the test part was opened, this time included.

    Raises OSError when the folder cannot be written.
    """
    line = {"time": timestamp(), "accuracy": accuracy, "images": images, "weights_sha256": weights_sha256}
    with open(Path(path) / TESTS, "a+b") as file:
        file.write(json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        return sum(1 for _ in file)


def timestamp() -> str:
    """Now, in UTC, as 2025-01-31T12:34:56Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _make_named(out: Path, name: str) -> Path:
    try:
        (out / name).mkdir()
    except FileExistsError:
        raise UsageError(f"{out / name} exists already. Choose another --name, or go on with it: --resume {out / name}") from None
    return out / name


def _make_numbered(out: Path, label: str) -> Path:
    label = re.sub(r"[^A-Za-z0-9._]+", "-", label).strip("-.")[:80]
    while True:
        taken = [int(match[1]) for name in os.listdir(out) if (match := NUMBERED.fullmatch(name))]
        path = out / f"{max(taken, default=0) + 1:03d}-{label}"
        with suppress(FileExistsError):  # another process took the number: look again
            path.mkdir()
            return path


def _lock(path: Path) -> int | None:
    try:
        import fcntl
    except ImportError:  # Windows has no flock
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise Busy(f"{path} is in use by {_holder(path)}: it trains there") from None
    return handle


def _holder(path: Path) -> str:
    try:
        return f"process {read_run_json(path)['process']}"
    except (MinicnnError, KeyError):
        return "another process"
