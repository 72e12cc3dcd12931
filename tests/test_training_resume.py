"""A run that was interrupted, killed or extended ends as the one that was not, bit for bit."""

import json
import os
import random
import shutil
import signal

import numpy as np
import pytest
import small_runs
from small_runs import EPOCHS, NAME, in_child, make_net, outcome, save_every_step, start

from minicnn import atomic, training, training_loop
from minicnn import random as philox
from minicnn.callbacks import Callback
from minicnn.errors import Busy, DataError, UsageError
from minicnn.optim import SGD, Adam, AdamW
from minicnn.schedules import Constant, Cosine, Step


@pytest.fixture(scope="module")
def data():
    return small_runs.make_data()


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The outcome of the uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    start(out, data)
    return outcome(out / NAME)


class Snapshots(Callback):
    """Copies the run's folder at every step: each copy is what a kill at that moment would leave."""

    def __init__(self, target):
        self.target, self.count = target, 0

    def on_step(self, loop):
        shutil.copytree(loop.folder.path, self.target / str(self.count))
        self.count += 1


@pytest.mark.parametrize(
    "optimizer, schedule",
    [(SGD(0.1, momentum=0.9), Cosine(warmup=1)), (Adam(0.01), Constant()), (AdamW(0.01), Step(1))],
    ids=["sgd-cosine", "adam-constant", "adamw-step"],
)
def test_resume_from_every_checkpoint(tmp_path, data, monkeypatch, optimizer, schedule):
    save_every_step(monkeypatch)
    start(tmp_path, data, optimizer=optimizer, schedule=schedule, callbacks=[Snapshots(tmp_path / "copies")])
    expected, copies = outcome(tmp_path / NAME), sorted((tmp_path / "copies").iterdir())
    assert len(copies) == EPOCHS * 4
    for number, copy in enumerate(copies):
        training.resume(copy, data, threads=1 + number % 3)
        assert outcome(copy) == expected, copy.name


def test_history_weights_and_log(tmp_path, data, whole):
    run = start(tmp_path, data)
    assert [row["epoch"] for row in run.history] == [1, 2, 3] and len(whole["log"]) == 3
    assert run.weights_sha256 == whole["weights_sha256"] == run.description["result"]["weights_sha256"]
    assert run.best in run.history
    assert run.best["val_loss"] == min(row["val_loss"] for row in run.history)
    header, *rows = (tmp_path / NAME / "metrics.csv").read_text().splitlines()
    assert header == "epoch,loss,val_loss,val_accuracy,lr,seconds" and len(rows) == 3
    assert float(rows[-1].split(",")[1]) == run.history[-1]["loss"]
    assert sorted(os.listdir(tmp_path / NAME)) == [
        "last.safetensors", "log.jsonl", "metrics.csv", "model.safetensors", "run.json",
    ]  # fmt: skip


def test_the_model_is_the_best_epoch(tmp_path, data):
    """Training at a rate that makes it worse: the model file keeps the weights of the best epoch, not of the last."""
    kept = {}

    def keep(row):
        kept[row["epoch"]] = net.weights_sha256()

    net = make_net(data)
    run = training.fit(net, data, 6, 32, SGD(0.5, momentum=0.95), out=tmp_path, name=NAME, callbacks=[keep])
    best = min(run.history, key=lambda row: row["val_loss"])
    assert best["epoch"] < 6
    assert run.net().weights_sha256() == kept[best["epoch"]] != kept[6] == run.weights_sha256


def finish(tmp_path, data) -> dict:
    """Go on with a killed run, or start again where it had kept nothing yet; the outcome."""
    folder = tmp_path / NAME
    if (folder / "last.safetensors").exists():
        training.resume(folder, data)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        start(tmp_path, data)
    assert not [name for name in os.listdir(folder) if name.startswith(".")]
    return outcome(folder)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
@pytest.mark.parametrize("instant", range(20))
def test_killed_at_a_random_instant(tmp_path, data, whole, monkeypatch, instant):
    save_every_step(monkeypatch)
    start(tmp_path / "warm", data, epochs=1)
    wait = random.Random(instant).uniform(0, 0.15)
    assert in_child(lambda: start(tmp_path, data), wait) in (0, signal.SIGKILL)
    assert finish(tmp_path, data) == whole


@needs_fork
@pytest.mark.parametrize("instant", range(20))
def test_killed_in_the_middle_of_a_save(tmp_path, data, whole, monkeypatch, instant):
    """The child kills itself at the n-th write, fsync or rename of the run: before the call, in a write half through."""
    save_every_step(monkeypatch)
    pick = random.Random(instant)
    name = pick.choice(["write", "fsync", "replace"])
    left = pick.randrange(2, 50)

    def child():
        real = getattr(os, name)

        def fatal(*arguments):
            nonlocal left
            left -= 1
            if left == 0:
                if name == "write":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        setattr(atomic.os, name, fatal)
        start(tmp_path, data)

    assert in_child(child) == signal.SIGKILL
    assert finish(tmp_path, data) == whole


def test_more_epochs_under_a_constant_schedule(tmp_path, data):
    start(tmp_path / "a", data, epochs=4, schedule=Constant())
    start(tmp_path / "b", data, epochs=2, schedule=Constant())
    training.resume(tmp_path / "b" / NAME, data, epochs=4)
    assert outcome(tmp_path / "b" / NAME) == outcome(tmp_path / "a" / NAME)


def test_more_epochs_under_cosine(tmp_path, data):
    """From where it is extended, the schedule is that of the new length; run.json tells; the outcome is deterministic."""
    for name in "ab":
        start(tmp_path / name, data, epochs=2)
        run = training.resume(tmp_path / name / NAME, data, epochs=4)
    middle = [(epoch + 3.5 / 4) for epoch in range(4)]
    expected = [0.1 * Cosine(1)(t, epochs) for t, epochs in zip(middle, (2, 2, 4, 4), strict=True)]
    assert [row["lr"] for row in run.history] == pytest.approx(expected)
    described = json.loads((tmp_path / "b" / NAME / "run.json").read_text())
    assert described["recipe"]["epochs"] == 4
    assert described["recipe"]["extended"] == [{"epochs": 2, "at_epoch": 2, "at_step": 0}]
    assert outcome(tmp_path / "a" / NAME) == outcome(tmp_path / "b" / NAME)


def test_nothing_to_do(tmp_path, data, whole):
    start(tmp_path, data)
    run = training.resume(tmp_path / NAME, data)
    assert len(run.history) == EPOCHS and outcome(tmp_path / NAME) == whole


def test_fewer_epochs_than_done(tmp_path, data):
    start(tmp_path, data)
    with pytest.raises(UsageError, match="epoch 3 already"):
        training.resume(tmp_path / NAME, data, epochs=2)


def test_other_data(tmp_path, data):
    start(tmp_path, data, epochs=1)
    changed = small_runs.make_data()
    changed.fingerprint = "0" * 64
    with pytest.raises(DataError, match="the data differ"):
        training.resume(tmp_path / NAME, changed)


def test_other_net(tmp_path, data):
    start(tmp_path, data, epochs=1)
    other = small_runs.Sequential([small_runs.GlobalAvgPool2D(), small_runs.Dense(3)], data.shape)
    with pytest.raises(DataError, match=r"layer 1 is Conv2D\(filters=4.* there, GlobalAvgPool2D\(\) here"):
        training.resume(tmp_path / NAME, data, net=other)
    run = training.resume(tmp_path / NAME, data, net=make_net(data, seed=99), epochs=2)
    assert len(run.history) == 2


def test_damaged_and_missing_checkpoint(tmp_path, data):
    start(tmp_path, data, epochs=1)
    last = tmp_path / NAME / "last.safetensors"
    content = last.read_bytes()
    last.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="checksum mismatch"):
        training.resume(tmp_path / NAME, data)
    last.unlink()
    with pytest.raises(UsageError, match="nothing to go on from"):
        training.resume(tmp_path / NAME, data)


def test_a_model_is_no_checkpoint(tmp_path, data):
    start(tmp_path, data, epochs=1)
    shutil.copy(tmp_path / NAME / "model.safetensors", tmp_path / NAME / "last.safetensors")
    with pytest.raises(DataError, match="a model file, not a checkpoint"):
        training.resume(tmp_path / NAME, data)


@needs_fork
def test_lock(tmp_path, data):
    """A second process is refused and told who trains; after a kill -9 the lock is free."""
    start(tmp_path, data, epochs=1)
    ready, told = os.pipe()

    class Stall(Callback):
        def on_start(self, loop):
            os.write(told, b"x")
            signal.pause()

    pid = os.fork()
    if pid == 0:
        try:
            training.resume(tmp_path / NAME, data, epochs=2, callbacks=[Stall()])
        finally:
            os._exit(1)
    try:
        assert os.read(ready, 1) == b"x"
        with pytest.raises(Busy, match=f"in use by process {pid}"):
            training.resume(tmp_path / NAME, data, epochs=2)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert len(training.resume(tmp_path / NAME, data, epochs=2).history) == 2


def test_thread_count_does_not_matter(tmp_path, data, whole):
    start(tmp_path, data, threads=3)
    assert outcome(tmp_path / NAME) == whole


def test_batches_follow_seed_and_epoch(tmp_path, data, monkeypatch):
    """Each epoch goes once through its permutation; a step is told which images it gets, and in which epoch."""
    real, seen = training_loop.Trainer.step, []

    def step(self, x, labels, samples, epoch):
        assert np.array_equal(x, data.train.images[samples]) and np.array_equal(labels, data.train.labels[samples])
        seen.append((epoch, samples.tolist()))
        return real(self, x, labels, samples=samples, epoch=epoch)

    monkeypatch.setattr(training_loop.Trainer, "step", step)
    start(tmp_path, data, seed=6)
    assert [len(samples) for _, samples in seen] == [32, 32, 32, len(data.train) - 96] * EPOCHS
    for epoch in range(EPOCHS):
        order = sum((samples for number, samples in seen if number == epoch), [])
        assert order == philox.permutation(6, epoch, len(data.train)).tolist()
