"""What a run leaves behind and how it ends: interrupted, diverged, without disk, stopped early."""

import errno
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import small_runs
from small_runs import NAME, At, make_net, start

from minicnn import atomic, model_file, run_folder, training
from minicnn.errors import DataError, Diverged, EnvironmentProblem, UsageError
from minicnn.layers import Dense, Flatten, Layer, Softmax
from minicnn.losses import MeanSquaredError
from minicnn.optim import SGD
from minicnn.run import Run
from minicnn.schedules import Constant
from minicnn.sequential import Sequential
from minicnn.signals import Interrupted, Interruption


@pytest.fixture(scope="module")
def data():
    return small_runs.make_data()


def send(name):
    return lambda: os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_step_saves_and_leaves(tmp_path, data, name):
    before = [signal.getsignal(getattr(signal, one)) for one in ("SIGINT", "SIGTERM", "SIGHUP")]
    with pytest.raises(Interrupted, match="stopped after epoch 1 and 2 of 4 steps") as caught:
        start(tmp_path, data, callbacks=[At(6, send(name))], origin={"data": {"source": "shapes"}})
    folder = tmp_path / NAME
    assert f"best (epoch 1) is in {folder}/model.safetensors" in str(caught.value)
    assert str(caught.value).endswith(f"go on: minicnn train shapes --resume {folder}")
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    assert before == [signal.getsignal(getattr(signal, one)) for one in ("SIGINT", "SIGTERM", "SIGHUP")]
    start(tmp_path / "whole", data)
    training.resume(folder, data)
    assert small_runs.outcome(folder) == small_runs.outcome(tmp_path / "whole" / NAME)


def test_interrupted_in_the_first_epoch_leaves_a_usable_model(tmp_path, data):
    with pytest.raises(Interrupted, match="stopped after epoch 0 and 1 of 4 steps; the weights so far are in"):
        start(tmp_path, data, callbacks=[At(1, send("SIGINT"))])
    assert Run.open(tmp_path / NAME).net().classes == data.classes


def test_the_second_signal_insists():
    with Interruption() as interruption, pytest.raises(KeyboardInterrupt):
        send("SIGINT")()
        assert interruption.wanted == "SIGINT"
        send("SIGTERM")()


class Poison(Layer):
    """The identity, until its n-th training batch: then one value of the output, or of dx, is not finite."""

    per_image = False

    def __init__(self, step=0, way="forward", value=0.0):
        self.step, self.way, self.value, self.seen = step, way, value, 0

    def forward(self, x, train=False, rng=None):
        y = x.copy()
        self.seen += train
        if train and self.way == "forward" and self.seen == self.step:
            y[0, 0] = self.value
        return y, None

    def backward(self, dy, cache):
        dx = dy.copy()
        if self.way == "backward" and self.seen == self.step:
            dx[-1, -1] = self.value
        return dx, {}

    def config(self):
        return {}


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_stops_with_the_last_good_state(tmp_path, data, way, value):
    """Step 7 is the third of the second epoch; the checkpoint of the end of the first one stays as it is."""
    layers = [Flatten(), Dense(6), Poison(7, way, value), Dense(3)]
    net, states = Sequential(layers, data.shape), []

    def keep(row):
        states.append((tmp_path / NAME / "last.safetensors").read_bytes())

    with pytest.raises(Diverged, match="step 7") as caught:
        training.fit(net, data, 3, 32, SGD(0.01), out=tmp_path, name=NAME, callbacks=[keep])
    assert caught.value.step == 7 and caught.value.layer and caught.value.hint.startswith("Try --lr 0.001.")
    folder = tmp_path / NAME
    assert states == [(folder / "last.safetensors").read_bytes()]
    assert json.loads((folder / "run.json").read_text())["status"] == "diverged"
    with np.load(folder / "diverged.npz") as batch:
        assert batch["images"].shape == (32, 8, 8, 1) and len(batch["labels"]) == len(set(batch["samples"])) == 32
        assert batch["epoch"] == 1 and batch["step"] == 7
        assert np.array_equal(batch["images"], data.train.images[batch["samples"]])


@pytest.fixture
def disk(monkeypatch):
    """disk["full"] = True makes every fsync of the run fail."""
    state, real = {"full": False}, os.fsync

    def fsync(handle):
        if state["full"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    return state


def test_a_full_disk_costs_a_warning_and_a_later_try(tmp_path, data, disk):
    watch = At()

    def after(row):
        disk["full"] = row["epoch"] == 1

    run = start(tmp_path, data, callbacks=[after, watch])
    assert len(watch.warnings) == 1
    assert "No space left on device; training goes on" in watch.warnings[0]
    start(tmp_path / "whole", data)
    assert small_runs.outcome(run.folder) == small_runs.outcome(tmp_path / "whole" / NAME)


def test_a_disk_that_is_full_at_the_end(tmp_path, data, disk):
    def after(row):
        disk["full"], kept[row["epoch"]] = True, (tmp_path / NAME / "last.safetensors").read_bytes()

    kept = {}
    with pytest.raises(EnvironmentProblem, match="No space left on device"):
        start(tmp_path, data, callbacks=[after])
    assert (tmp_path / NAME / "last.safetensors").read_bytes() == kept[1]
    assert not [name for name in os.listdir(tmp_path / NAME) if name.startswith(".")]


def test_the_folder_is_taken_away(tmp_path, data):
    rows = []
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        start(tmp_path, data, callbacks=[rows.append, At(5, lambda: shutil.rmtree(tmp_path / NAME))])
    assert len(rows) == 1, "training went on without a folder"


def test_stop_after(tmp_path, data):
    """Weights that cannot improve: the first epoch is the best, and two more are tried."""
    net = Sequential([Flatten(), Dense(3)], data.shape)
    run = training.fit(net, data, 9, 32, SGD(30.0), Constant(), stop_after=2, out=tmp_path, name=NAME)
    since = len(run.history) - (run.best or {"epoch": 0})["epoch"]
    assert since == 2 and len(run.history) < 9
    assert len(training.resume(tmp_path / NAME, data).history) == len(run.history)
    assert len(training.resume(tmp_path / NAME, data, stop_after=4).history) >= len(run.history) + 2


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_batch_sizes(tmp_path, data, batch):
    """The history's loss is the mean over images, whatever the batches: seen at a rate too small to move anything."""
    net = Sequential([Flatten(), Dense(3)], data.shape, dtype="float64")
    logits = net.forward(data.train.images)[0]
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(shifted)), data.train.labels]
    run = training.fit(net, data, 1, batch, SGD(1e-15), out=tmp_path)
    assert run.history[0]["loss"] == pytest.approx(losses.mean(), rel=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch": 0}, {"epochs": 1.5}, {"stop_after": 0}, {"seed": -1}, {"optimizer": SGD(0.0)}],
    ids=str,
)
def test_numbers_that_make_no_run(tmp_path, data, wrong):
    with pytest.raises(ValueError, match=f"{'lr' if 'optimizer' in wrong else next(iter(wrong))} must be"):
        training.fit(make_net(data), data, **({"out": tmp_path} | wrong))
    assert not os.listdir(tmp_path)


def test_net_and_data_must_fit(tmp_path, data):
    with pytest.raises(DataError, match=r"takes images \(9, 8, 1\), the data have \(8, 8, 1\)"):
        training.fit(Sequential([Flatten(), Dense(3)], (9, 8, 1)), data, out=tmp_path)
    with pytest.raises(DataError, match="3 classes"):
        training.fit(Sequential([Flatten(), Dense(4)], data.shape), data, out=tmp_path)
    with pytest.raises(TypeError, match="a callback is"):
        training.fit(make_net(data), data, out=tmp_path, callbacks=[3])


def test_softmax_at_the_end_changes_nothing(tmp_path, data):
    """Both nets are trained through the same logits; validation must see those too."""
    rows = []
    for layers in ([Flatten(), Dense(3)], [Flatten(), Dense(3), Softmax()]):
        run = training.fit(Sequential(layers, data.shape), data, 2, 32, SGD(0.1), out=tmp_path)
        rows.append([{key: value for key, value in row.items() if key != "seconds"} for row in run.history])
    assert rows[0] == rows[1]


def test_mean_squared_error(tmp_path, data):
    run = training.fit(make_net(data), data, 3, 32, SGD(0.1), loss=MeanSquaredError(), out=tmp_path)
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def test_run_json(tmp_path, data):
    run = start(tmp_path, data, origin={"net": {"name": "mine"}, "data": {"source": "x", "size": None, "split": [80, 10, 10]}})
    told = json.loads((tmp_path / NAME / "run.json").read_text())
    assert told["net"]["name"] == "mine" and told["net"]["layers"][0]["layer"] == "Conv2D"
    assert told["recipe"]["optimizer"] == SGD(0.1, momentum=0.9).config() and told["recipe"]["batch"] == 32
    assert told["data"]["fingerprint"] == data.fingerprint and told["data"]["source"] == "x"
    assert {"python", "numpy", "numba", "minicnn"} <= set(told["versions"]) and told["machine"]["cores"] >= 1
    assert told["status"] == "finished" and told["result"]["weights_sha256"] == run.weights_sha256
    training.resume(tmp_path / NAME, data, epochs=4)
    again = json.loads((tmp_path / NAME / "run.json").read_text())
    assert again["started"] == told["started"] and again["net"]["name"] == "mine" and again["data"]["source"] == "x"


def test_numbered_folders(tmp_path, data):
    names = [run_folder.RunFolder.create(tmp_path, "tiny-my data/../x").path.name for _ in range(2)]
    assert names == ["001-tiny-my-data-..-x", "002-tiny-my-data-..-x"]
    (tmp_path / "041-other").mkdir()
    assert run_folder.RunFolder.create(tmp_path, "a").path.name == "042-a"
    for bad in ("", "../up", "a/b", ".hidden", "x" * 101, "a\nb"):
        with pytest.raises(UsageError, match="cannot be a run's name"):
            run_folder.RunFolder.create(tmp_path, "a", bad)
    with pytest.raises(UsageError, match="exists already"):
        run_folder.RunFolder.create(tmp_path, "a", "041-other")
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot make a run folder"):
        run_folder.RunFolder.create(tmp_path / "file", "a")


def test_openings_of_the_test_part_are_counted(tmp_path, data):
    run = start(tmp_path, data)
    assert [run.evaluate("test").opening for _ in range(2)] == [1, 2]
    assert run.evaluate("val").opening == 0
    assert "seen for the 3rd time" in str(Run(run.folder, {}, [], None, "", data).evaluate())
    lines = [json.loads(line) for line in (Path(run.folder) / "tests.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and {line["images"] for line in lines} == {len(data.test)}


def test_open_run(tmp_path, data):
    run = start(tmp_path, data, origin={"data": {"source": "shapes"}})
    again = Run.open(run.folder)
    assert again.history == run.history and again.best == run.best and again.weights_sha256 == run.weights_sha256
    assert model_file.open_model(run.folder).weights_sha256() == run.net().weights_sha256()
    with pytest.raises(DataError, match="the data differ from the run's"):
        again.evaluate()
    with pytest.raises(UsageError, match="no such run folder"):
        Run.open(tmp_path / "missing")
    with pytest.raises(UsageError, match="not a run folder"):
        Run.open(tmp_path)
