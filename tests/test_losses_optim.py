"""Losses, optimizers and schedules: by hand, by calculus, and what they refuse. The kernels' arithmetic has tests of its own."""

import math

import numpy as np
import pytest

import minicnn as mc
from minicnn.losses import class_labels

LOSSES = [mc.SoftmaxCrossEntropy(), mc.SoftmaxCrossEntropy(label_smoothing=0.2),
          mc.SoftmaxCrossEntropy(label_smoothing=0.1, class_weights=[1, 2, 0.5, 3]), mc.MeanSquaredError()]
LOGITS = np.zeros((1, 3))


def batch_loss(loss, logits, labels):
    return loss.forward(logits, labels).sum() / loss.denominator(labels, logits.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_by_hand(dtype):
    logits, labels = np.log(np.array([[1, 2, 5], [3, 3, 2]], dtype)), np.array([2, 0])          # p = 1/8 2/8 5/8, 3/8 3/8 2/8
    np.testing.assert_allclose(mc.SoftmaxCrossEntropy().forward(logits, labels), [math.log(8 / 5), math.log(8 / 3)], rtol=1e-6)
    weighted = mc.SoftmaxCrossEntropy(class_weights=[3, 1, 1])
    assert weighted.denominator(labels, dtype) == 4.0 and mc.SoftmaxCrossEntropy().denominator(labels, dtype) == 2.0
    np.testing.assert_allclose(batch_loss(weighted, logits, labels), (math.log(8 / 5) + 3 * math.log(8 / 3)) / 4, rtol=1e-6)
    smooth = 0.7 * math.log(8 / 5) + 0.1 * (math.log(8) + math.log(8 / 2) + math.log(8 / 5))
    np.testing.assert_allclose(mc.SoftmaxCrossEntropy(0.3).forward(logits, labels)[0], smooth, rtol=1e-6)


def test_mean_squared_error_by_hand():
    x, target = np.array([[1.0, 2, 3], [0, 0, 1]]), np.array([[1.0, 0, 0], [0, 0, 4]])
    assert mc.MeanSquaredError().forward(x, target).tolist() == [13 / 3, 3.0]
    assert mc.MeanSquaredError().forward(x, np.array([0, 2])).tolist() == [13 / 3, 0.0]         # integers are one-hot
    assert mc.MeanSquaredError().backward(x, np.array([0, 2]), 3.0).tolist() == [[0, 4, 6], [0, 0, 0]]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: str(loss.config()))
def test_derivative_of_the_batch_loss(loss):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((5, 4)), rng.integers(0, 4, 5)
    numeric = np.empty_like(logits)
    for place in np.ndindex(*logits.shape):
        step = np.zeros_like(logits)
        step[place] = 1e-5
        numeric[place] = (batch_loss(loss, logits + step, labels) - batch_loss(loss, logits - step, labels)) / 2e-5
    analytic = loss.backward(logits, labels, 1 / loss.denominator(labels, logits.dtype))
    np.testing.assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: str(loss.config()))
def test_parts_of_a_batch_add_up(loss):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((7, 4)).astype(np.float32), rng.integers(0, 4, 7).astype(np.uint8)
    cuts = (slice(0, 3), slice(3, 7))
    for call in (loss.forward, lambda x, y: loss.backward(x, y, 0.25)):
        assert np.array_equal(np.concatenate([call(logits[cut], labels[cut]) for cut in cuts]), call(logits, labels))


@pytest.mark.parametrize("call, error, message", [
    (lambda: mc.SoftmaxCrossEntropy(label_smoothing=1.5), ValueError, "label_smoothing must be"),
    (lambda: mc.SoftmaxCrossEntropy(class_weights=[1, -1]), ValueError, "a class weight must be"),
    (lambda: mc.SoftmaxCrossEntropy(class_weights=[1, 2]).forward(LOGITS, np.array([0])), ValueError, "2 class weights for 3"),
    (lambda: mc.SoftmaxCrossEntropy(class_weights=[0, 1]).denominator(np.array([0]), float), ValueError, "class weight 0"),
    (lambda: mc.SoftmaxCrossEntropy().forward(LOGITS, np.array([3])), ValueError, "labels lie in 3..3"),
    (lambda: mc.MeanSquaredError().forward(LOGITS, np.array([3])), ValueError, r"labels must lie in 0\.\.2, got 3\.\.3"),
    (lambda: mc.MeanSquaredError().forward(LOGITS, np.array([-1])), ValueError, "labels must lie in"),
    (lambda: class_labels([0.0, 1.0]), TypeError, "labels must be integers, got float64"),
    (lambda: class_labels([True, False]), TypeError, "labels must be integers, got bool"),
    (lambda: class_labels([[1], [2]]), ValueError, r"labels must have the shape \(N,\), got \(2, 1\)"),
])
def test_losses_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call()


def steps(optimizer, gradients, w=1.0, lr=None):
    """w after one step for each gradient."""
    w = np.array([w])
    slots = optimizer.slots(w)
    for step, g in enumerate(gradients, 1):
        optimizer.update(w, np.array([g]), slots, step, optimizer.lr if lr is None else lr)
    return float(w[0])


def test_sgd_by_hand():
    assert steps(mc.SGD(0.5), [2.0, 4.0]) == 1 - 1 - 2
    assert steps(mc.SGD(0.5), [2.0], lr=0.25) == 0.5                                            # a schedule's rate, not its own
    assert steps(mc.SGD(0.5, momentum=0.5), [2.0, 4.0]) == 1 - 0.5 * 2 - 0.5 * 5
    assert steps(mc.SGD(0.5, momentum=0.5, nesterov=True), [2.0, 4.0]) == 1 - 0.5 * 3 - 0.5 * (4 + 0.5 * 5)
    assert steps(mc.SGD(0.5, weight_decay=0.5), [2.0]) == 1 - 0.5 * 2.5


def test_adam_by_hand():
    np.testing.assert_allclose(steps(mc.Adam(0.1), [3.0]), 1 - 0.1, rtol=1e-7)                  # the first step is lr * sign
    m, v = (0.1 * 3 * 0.9 + 0.1 * -1) / (1 - 0.9**2), (0.001 * 9 * 0.999 + 0.001) / (1 - 0.999**2)
    np.testing.assert_allclose(steps(mc.Adam(0.1), [3.0, -1.0]), 0.9 - 0.1 * m / math.sqrt(v), rtol=1e-7)
    np.testing.assert_allclose(steps(mc.Adam(0.1, weight_decay=5), [-4.999]), 0.9, rtol=1e-4)   # -4.999 + 5 is positive
    np.testing.assert_allclose(steps(mc.AdamW(0.1, weight_decay=0.5), [-3.0]), 1 * (1 - 0.05) + 0.1, rtol=1e-7)
    assert mc.AdamW().weight_decay == 0.01 and mc.Adam().weight_decay == 0


@pytest.mark.parametrize("make, error", [
    (lambda: mc.SGD(-0.1), "lr must be finite and >= 0, got -0.1"), (lambda: mc.SGD(float("nan")), "lr must be finite"),
    (lambda: mc.SGD(0.1, momentum=1), "momentum must be finite and >= 0 and < 1"),
    (lambda: mc.SGD(0.1, nesterov=True), "needs a momentum"),
    (lambda: mc.SGD(0.1, nesterov=1), "nesterov must be True or False"), (lambda: mc.SGD("0.1"), "lr must be a number"),
    (lambda: mc.Adam(beta2=1.0), "beta2 must be"), (lambda: mc.AdamW(weight_decay=-1), "weight_decay must be"),
    (lambda: mc.Step(0), "every must be"), (lambda: mc.Step(5, factor=-1), "factor must be"),
    (lambda: mc.Cosine(-1), "warmup must be"),
])
def test_settings_are_checked(make, error):
    with pytest.raises((TypeError, ValueError), match=error):
        make()


@pytest.mark.parametrize("thing", [
    *LOSSES, mc.SGD(0.1, 0.9, True, 1e-4), mc.Adam(0.1, 0.5, 0.6, 1e-3, 0.2), mc.AdamW(weight_decay=0.3), mc.Constant(),
    mc.Step(3, 0.5), mc.Cosine(2),
], ids=lambda thing: type(thing).__name__)
def test_configs_make_the_same_thing_again(thing):
    config = thing.config()
    name = config.pop(next(iter(config)))
    assert name == type(thing).__name__ and getattr(mc, name)(**config).config() == thing.config()


def test_schedules():
    assert [mc.Constant()(epoch, 10) for epoch in (0, 3.5, 10)] == [1, 1, 1]
    assert [mc.Step(2, 0.5)(epoch, 10) for epoch in (0, 1.99, 2, 5)] == [1, 1, 0.5, 0.25]
    expected = [1, (1 + math.sqrt(0.5)) / 2, 0.5, 0]
    np.testing.assert_allclose([mc.Cosine()(epoch, 8) for epoch in (0, 2, 4, 8)], expected, atol=1e-15)
    warm = mc.Cosine(warmup=2)
    np.testing.assert_allclose([warm(epoch, 10) for epoch in (0, 1, 2, 6, 10)], [0, 0.5, 1, 0.5, 0], atol=1e-15)
    assert [mc.Cosine(warmup=5)(epoch, 5) for epoch in (2.5, 5)] == [0.5, 1]
