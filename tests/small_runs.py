"""A run of milliseconds with everything in it that could make a resumed run differ, and what must be equal then."""

import hashlib
import json
import os
import signal
import time
import traceback

import numpy as np

from minicnn import data as mcdata
from minicnn import tensor_file, training, training_loop
from minicnn.callbacks import Callback
from minicnn.layers import BatchNorm, Conv2D, Dense, Dropout, GlobalAvgPool2D, ReLU
from minicnn.optim import SGD
from minicnn.schedules import Cosine
from minicnn.sequential import Sequential

EPOCHS = 3
NAME = "run"


def make_data():
    """About 100 training images of 8x8 in three classes: four batches of 32, the last one smaller."""
    return mcdata.shapes(side=8, classes=3, count=130, seed=1, channels=1)


def make_net(data, seed=3):
    layers = [
        Conv2D(4, 3, padding="same", bias=False), BatchNorm(), ReLU(), Dropout(0.2), GlobalAvgPool2D(), Dense(3),
    ]  # fmt: skip
    return Sequential(layers, data.shape, seed=seed)


def start(out, data, epochs=EPOCHS, optimizer=None, schedule=None, **options):
    """Train in the folder OUT/run."""
    optimizer, schedule = optimizer or SGD(0.1, momentum=0.9), schedule or Cosine(warmup=1)
    options = {"batch": 32, "seed": 5, "name": NAME} | options
    return training.fit(make_net(data), data, epochs, optimizer=optimizer, schedule=schedule, out=out, **options)


def outcome(folder) -> dict:
    """Everything of a finished run that must not depend on how often it was interrupted."""
    document, tensors = tensor_file.read(folder / "last.safetensors")
    model = tensor_file.read(folder / "model.safetensors")
    progress, described = document["progress"], json.loads((folder / "run.json").read_text())
    return {
        "last": _digest(tensors),
        "model": _digest(model[1]),
        "recipe": {key: value for key, value in document["recipe"].items() if key != "extended"},
        "history": [_timeless(row) for row in progress["history"]],
        "best": _timeless(progress["best"]),
        "log": [_timeless(json.loads(line)) for line in (folder / "log.jsonl").read_text().splitlines()],
        "weights_sha256": described["result"]["weights_sha256"],
        "status": described["status"],
    }


class At(Callback):
    """Does something at the n-th step; keeps the warnings."""

    def __init__(self, step=0, action=None):
        self.left, self.action, self.warnings = step, action, []

    def on_step(self, loop):
        self.left -= 1
        if self.left == 0:
            self.action()

    def on_warning(self, loop, text):
        self.warnings.append(text)


def in_child(function, kill_after: float | None = None) -> int:
    """Run function() in a forked child, killed with SIGKILL after so many seconds; returns its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def save_every_step(monkeypatch):
    """Write a checkpoint after every step instead of every five minutes."""
    monkeypatch.setattr(training_loop, "SAVE_EVERY", 0.0)


def _timeless(row):
    return {key: value for key, value in row.items() if key != "seconds"}


def _digest(tensors: dict[str, np.ndarray]) -> dict[str, str]:
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in sorted(tensors.items())}
