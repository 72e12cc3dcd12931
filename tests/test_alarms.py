"""What is said when a loss does not move, blows up, or is no number any more."""

import numpy as np
import pytest
import small_runs
from small_runs import NAME, At, start

from minicnn import alarms, training
from minicnn.errors import Diverged
from minicnn.layers import Dense, Flatten, Layer
from minicnn.losses import MeanSquaredError, SoftmaxCrossEntropy
from minicnn.optim import SGD
from minicnn.run_folder import RunFolder
from minicnn.schedules import Constant
from minicnn.sequential import Sequential


@pytest.fixture(scope="module")
def data():
    return small_runs.make_data()


def test_a_rate_that_is_far_too_high_diverges(tmp_path, data):
    with pytest.raises(Diverged, match="loss grew from"):
        training.fit(Sequential([Flatten(), Dense(9), Dense(3)], data.shape), data, 9, 16, SGD(1e6), out=tmp_path)


def test_blown_up_is_never_the_best(tmp_path, data):
    """A rate at which the loss explodes and stays finite: one warning, and the best is no epoch of the explosion."""
    watch = At()
    net = Sequential([Flatten(), Dense(3)], data.shape)
    run = training.fit(net, data, 4, 32, SGD(300.0), Constant(), callbacks=[watch], out=tmp_path, name=NAME)
    assert run.history[0]["loss"] > 10 and run.best is None
    assert len(watch.warnings) == 1 and "of the first batch. Try --lr 0.1" in watch.warnings[0]
    assert run.net().weights_sha256() == run.weights_sha256


def test_stuck_at_guessing(tmp_path, data):
    watch, learning = At(), At()
    start(tmp_path / "b", data, optimizer=SGD(0.5), schedule=Constant(), callbacks=[learning])
    assert learning.warnings == []
    net = Sequential([Flatten(), Dense(3)], data.shape)
    net.layers[1].params["w"][...] = 0
    training.fit(net, data, 1, 32, SGD(1e-12), callbacks=[watch], out=tmp_path / "c", name=NAME)
    text = f"loss is at the level of guessing (1.099 = ln 3). minicnn check {tmp_path / 'c' / NAME}, or try another --lr."
    assert watch.warnings == [text]


@pytest.mark.parametrize(
    "row, loss, verdict",
    [
        ({"epoch": 1, "loss": 1.1, "val_loss": 1.09}, SoftmaxCrossEntropy(), True),
        ({"epoch": 1, "loss": 1.1, "val_loss": None}, SoftmaxCrossEntropy(), True),
        ({"epoch": 2, "loss": 1.1, "val_loss": 1.09}, SoftmaxCrossEntropy(), False),
        ({"epoch": 1, "loss": 1.1, "val_loss": 0.9}, SoftmaxCrossEntropy(), False),
        ({"epoch": 1, "loss": 0.9, "val_loss": 1.1}, SoftmaxCrossEntropy(), False),
        ({"epoch": 1, "loss": 1.1, "val_loss": 1.09}, MeanSquaredError(), False),
    ],
)
def test_stuck(row, loss, verdict):
    assert alarms.stuck(row, loss, 3) is verdict


@pytest.mark.parametrize(
    "losses, text",
    [
        ([2.0, 1.0, 5.0, 9.0], "d; the loss grew from 1 at step 4 to 9 at step 6"),
        ([3.0, 2.0], "d"),
        ([], "d"),
    ],
)
def test_since_when_the_loss_grew(tmp_path, losses, text):
    """The error is of step 7, so four losses are those of steps 3 to 6."""
    folder = RunFolder.create(tmp_path, "x")
    told = alarms.explain(Diverged("d", 7, "conv2d_1", "dw"), losses, 5.0, folder, {"images": [1.0]})
    assert str(told) == text and (told.step, told.layer, told.tensor) == (7, "conv2d_1", "dw")
    assert told.hint.startswith("Try --lr 0.1. The batch is in ")


def test_a_batch_that_cannot_be_kept(tmp_path):
    folder = RunFolder.create(tmp_path, "x")
    (folder.path / "diverged.npz").mkdir()
    told = alarms.explain(Diverged("d", 7), [], 0.01, folder, {"images": [1.0]})
    assert told.hint.startswith("Try --lr 0.001. The batch could not be kept: cannot write")


class EvaluatesToInfinity(Layer):
    """The identity in training, infinity in evaluation: what running statistics that ran away look like."""

    per_image = True

    def forward(self, x, train=False, rng=None):
        return x if train else x + np.float32(np.inf), None

    def backward(self, dy, cache):
        return dy, {}


def test_a_validation_loss_that_is_not_finite(tmp_path, data):
    watch, net = At(), Sequential([Flatten(), Dense(3), EvaluatesToInfinity()], data.shape)
    run = training.fit(net, data, 2, 32, SGD(0.01), callbacks=[watch], out=tmp_path)
    assert [row["val_loss"] for row in run.history] == [None, None] and run.best is None
    assert len(watch.warnings) == 2 and "the validation loss of epoch 1 is not finite" in watch.warnings[0]
