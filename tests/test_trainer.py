"""One training step and what follows from many: accumulation, state, refusal of NaN, and that a net learns."""

import math

import numpy as np
import pytest

import minicnn as mc
from minicnn.errors import Diverged

SHAPE, CLASSES = (8, 8, 2), 4


def make_net(*head, seed=0, dtype="float32"):
    return mc.Sequential([*head, mc.Conv2D(8, 3, padding="same"), mc.ReLU(), mc.MaxPool2D(2), mc.Conv2D(6, 3), mc.ReLU(),
                          mc.Flatten(), mc.Dense(CLASSES)], SHAPE, seed=seed, dtype=dtype)


def rich_net(seed=0):
    return mc.Sequential([mc.Conv2D(6, 3, bias=False), mc.BatchNorm(), mc.ReLU(), mc.Dropout(0.3),
                          mc.Residual([mc.Conv2D(6, 3, padding=1), mc.BatchNorm()]), mc.GlobalAvgPool2D(), mc.Dense(CLASSES)],
                         SHAPE, seed=seed)


def batch(n=24, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, *SHAPE)).astype(np.float32), rng.integers(0, CLASSES, n)


def digest(trainer):
    """Every bit that a later step depends on."""
    return {name: (array.dtype, array.tobytes()) for name, array in trainer.state().items()}


def params(net):
    return {name: array.tobytes() for name, array in net.tensors().items() if name.startswith("params/")}


# ---- a step ----

def test_the_loss_is_that_of_the_net_before_the_update():
    net, (x, labels) = make_net(), batch()
    loss = mc.SoftmaxCrossEntropy(0.1, (1, 2, 3, 0.5))
    expected = loss.forward(net.forward(x)[0], labels).sum() / loss.denominator(labels, np.float32)
    assert mc.Trainer(net, loss=loss).step(x, labels) == pytest.approx(expected, rel=1e-6)


def test_a_net_that_ends_in_softmax_is_trained_through_its_logits():
    x, labels = batch()
    plain = mc.Sequential(mc.nets.tiny(SHAPE, CLASSES), SHAPE)
    ending = mc.Sequential([*mc.nets.tiny(SHAPE, CLASSES), mc.Softmax()], SHAPE)
    trainers = mc.Trainer(plain), mc.Trainer(ending)
    for _ in range(3):
        assert len({trainer.step(x, labels) for trainer in trainers}) == 1
    assert plain.weights_sha256() == ending.weights_sha256()
    assert np.array_equal(plain.predict(x), ending.predict(x))


def test_the_learning_rate_may_change_between_steps():
    x, labels = batch()
    net = make_net()
    trainer = mc.Trainer(net, mc.SGD(0.5))
    assert trainer.lr == 0.5
    trainer.lr = 0.0
    before = net.weights_sha256()
    trainer.step(x, labels)
    assert net.weights_sha256() == before and trainer.step_count == 1


def test_masks_follow_the_image_the_epoch_and_the_seed():
    x, labels = batch()
    plain, samples = np.arange(24), np.arange(100, 124)

    def loss(order, samples, epoch, seed):
        return mc.Trainer(rich_net(), seed=seed).step(x[order], labels[order], samples=samples, epoch=epoch)

    first = loss(plain, samples, 2, 0)
    assert loss(plain[::-1], samples[::-1], 2, 0) == pytest.approx(first, rel=1e-5)
    for other in (loss(plain, samples + 1, 2, 0), loss(plain, samples, 3, 0), loss(plain, samples, 2, 1)):
        assert abs(other - first) > 1e-3


@pytest.mark.parametrize("n, labels", [(0, 0), (3, 4), (4, 3)])
def test_as_many_labels_as_images(n, labels):
    with pytest.raises(ValueError, match=f"got {n} images, {labels} labels"):
        mc.Trainer(make_net()).step(np.zeros((n, *SHAPE), np.float32), np.zeros(labels, np.int64))


def test_accumulated_gradients_are_those_of_the_big_batch():
    x, labels = batch(36)
    big, small = make_net(), make_net()
    whole, parts = mc.Trainer(big, mc.SGD(0.1, momentum=0.9)), mc.Trainer(small, mc.SGD(0.1, momentum=0.9), accumulate=3)
    for _ in range(2):
        loss = whole.step(x, labels)
        before = small.weights_sha256()
        losses = [parts.step(x[lo:lo + 12], labels[lo:lo + 12]) for lo in (0, 12)]
        assert small.weights_sha256() == before             # not yet
        losses.append(parts.step(x[24:], labels[24:]))
        assert np.mean(losses) == pytest.approx(loss, rel=1e-5) and small.weights_sha256() != before
    assert whole.step_count == parts.step_count == 2
    for name, array in big.tensors().items():
        np.testing.assert_allclose(small.tensors()[name], array, rtol=1e-4, atol=1e-6, err_msg=name)


# ---- state ----

@pytest.mark.parametrize("optimizer", [mc.SGD(0.05, momentum=0.9), mc.AdamW(0.01)])
def test_a_loaded_state_goes_on_bit_for_bit(optimizer):
    data = [batch(20, seed) for seed in range(6)]
    trainer = mc.Trainer(rich_net(), optimizer, seed=7)
    for step, (x, labels) in enumerate(data[:3]):
        trainer.step(x, labels, epoch=step)
    state = trainer.state()
    kept = {name: array.copy() for name, array in state.items()}
    other = mc.Trainer(rich_net(seed=5), optimizer, seed=7, threads=1)
    other.load_state(state)
    for step, (x, labels) in enumerate(data[3:], 3):
        assert trainer.step(x, labels, epoch=step) == other.step(x, labels, epoch=step)
    assert digest(trainer) == digest(other) and trainer.step_count == 6
    assert all(np.array_equal(state[name], kept[name]) for name in kept)        # copies, on both ways


def test_state_names():
    names = set(mc.Trainer(rich_net(), mc.Adam()).state())
    assert {"params/conv2d_1/w", "state/batchnorm_1/mean", "optimizer/conv2d_1/w/m", "counters/step"} <= names
    assert {name for name in names if "conv2d_2/b" in name} == {
        "params/conv2d_2/b", "optimizer/residual_1/conv2d_2/b/m", "optimizer/residual_1/conv2d_2/b/v"}


def without(state, name):
    return {key: array for key, array in state.items() if key != name}


@pytest.mark.parametrize("change", [
    lambda state: mc.Trainer(rich_net(seed=1), mc.SGD(0.1)).state(),
    lambda state: without(state, "counters/step"),
    lambda state: without(state, "params/dense_1/b"),
    lambda state: state | {"params/dense_1/w": np.ones((3, 3), np.float32)},
    lambda state: state | {"optimizer/dense_1/w/m": state["optimizer/dense_1/w/m"].astype(np.float64)},
    lambda state: state | {"optimizer/dense_1/w/m": np.ones((3, 3), np.float32)},
], ids=["other optimizer", "no step", "a weight less", "weight shape", "slot type", "slot shape"])
def test_a_state_that_does_not_fit_changes_nothing(change):
    trainer = mc.Trainer(rich_net(), mc.Adam())
    trainer.step(*batch())
    before = digest(trainer)
    state = change({name: array + 1 for name, array in trainer.state().items()})
    with pytest.raises(ValueError):
        trainer.load_state(state)
    assert digest(trainer) == before


def test_no_state_in_the_middle_of_an_update():
    trainer = mc.Trainer(make_net(), accumulate=2)
    trainer.step(*batch())
    with pytest.raises(ValueError, match="1 of 2 gradients are held"):
        trainer.state()
    trainer.step(*batch())
    assert trainer.state()["counters/step"] == 1
    with pytest.raises(ValueError, match="accumulate must lie in 1"):
        mc.Trainer(make_net(), accumulate=0)


# ---- NaN and infinity ----

def poison_weight(value, layer, name):
    def poison(net, x):
        net.layers[layer].params[name].flat[1] = value
    return poison


def poison_image(value):
    def poison(net, x):
        x[5, 2, 3, 1] = value
    return poison


@pytest.mark.parametrize("poison, layer, tensor", [
    (poison_weight(np.inf, 0, "w"), "conv2d_1", "w"),
    (poison_weight(np.nan, 0, "w"), "conv2d_1", "w"),           # ReLU and max pooling come after it, and must not hide it
    (poison_weight(np.nan, 3, "b"), "conv2d_2", "b"),
    (poison_weight(-np.inf, 3, "w"), "conv2d_2", "w"),
    (poison_weight(np.nan, 6, "w"), "dense_1", "w"),
    (poison_weight(3e38, 6, "w"), "dense_1", "y"),              # finite, but not what it gives
    (poison_image(np.nan), "conv2d_1", "x"),
    (poison_image(-np.inf), "conv2d_1", "x"),
])
def test_the_first_that_is_not_finite_is_named_and_nothing_moves(poison, layer, tensor):
    net, (x, labels) = make_net(), batch()
    trainer = mc.Trainer(net, mc.Adam(), threads=2)
    trainer.step(x, labels)
    poison(net, x := 100 * x)
    before = digest(trainer)
    with pytest.raises(Diverged, match="not finite at step 2: loss ") as caught:
        trainer.step(x, labels)
    assert (caught.value.step, caught.value.layer, caught.value.tensor, caught.value.exit_code) == (2, layer, tensor, 5)
    assert f"first in {tensor} of layer {[part.name for part in net.layers].index(layer) + 1} ({layer})" in str(caught.value)
    assert digest(trainer) == before and trainer.step_count == 1


def test_a_gradient_that_overflows_is_named():
    """Outputs and loss are finite: the logits are 1e-37 * 3e38. dw is 1e36 * 1000 and more: it is not."""
    net, (x, labels) = make_net(), batch()
    convolution, dense = net.layers[3].params, net.layers[6].params
    convolution["w"][...], convolution["b"][...] = 0, 1e-37
    dense["w"][...] = 0
    dense["w"][0] = 3e38, -3e38, 3e38, -3e38
    before = net.weights_sha256()
    with pytest.raises(Diverged, match=r"loss [0-9.]+, first in dw of layer 4 \(conv2d_2\)"):
        mc.Trainer(net).step(1000 * x, labels)
    assert net.weights_sha256() == before


def test_a_loss_that_overflows_is_named():
    """Logits of 3e38 and -3e38 are finite and so is every gradient; their difference is not."""
    net = mc.Sequential([mc.Dense(2)], (1,))
    net.layers[0].params["w"][...] = 3e38, -3e38
    with pytest.raises(Diverged, match=r"loss inf, first in loss of layer 1 \(dense_1\)"):
        mc.Trainer(net).step(np.ones((4, 1)), np.ones(4, np.int64))


@pytest.mark.parametrize("net", [make_net, rich_net])
def test_a_learning_rate_without_measure(net):
    trainer = mc.Trainer(net(), mc.SGD(1e30))
    with pytest.raises(Diverged) as caught, np.errstate(all="ignore"):
        for _ in range(20):
            before = params(trainer.net)
            trainer.step(*batch())
    assert 2 <= caught.value.step == trainer.step_count + 1
    assert params(trainer.net) == before


def test_after_a_refusal_training_goes_on():
    x, labels = batch()
    spoilt, clean = mc.Trainer(make_net(), mc.Adam(), accumulate=2), mc.Trainer(make_net(), mc.Adam(), accumulate=2)
    spoilt.step(x, labels)
    with pytest.raises(Diverged):
        spoilt.step(x * np.nan, labels)                 # drops the gradients held of this update
    for trainer in (spoilt, clean):
        trainer.step(x, labels)
        trainer.step(x, labels)
    assert digest(spoilt) == digest(clean)


# ---- sanity ----

@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_net_that_prefers_no_class_has_the_loss_of_guessing(classes, smoothing):
    x, labels = batch(300)
    net = mc.Sequential(mc.nets.tiny(SHAPE, classes), SHAPE)
    net.layers[-1].params["w"] *= 0.01
    loss = mc.Trainer(net, loss=mc.SoftmaxCrossEntropy(smoothing)).step(x, labels % classes)
    assert loss == pytest.approx(math.log(classes), rel=0.01)


@pytest.mark.parametrize("optimizer", [mc.SGD(0.03, momentum=0.9), mc.SGD(0.03, 0.9, nesterov=True), mc.Adam(0.01),
                                       mc.AdamW(0.01)], ids=["momentum", "nesterov", "adam", "adamw"])
@pytest.mark.parametrize("make", [make_net, rich_net])
def test_it_learns_32_images_of_noise_by_heart(make, optimizer):
    net, (x, labels) = make(), batch(32)
    trainer = mc.Trainer(net, optimizer)
    first = trainer.step(x, labels)
    for epoch in range(1, 400):
        last = trainer.step(x, labels, epoch=epoch)
        if epoch % 25 == 0 and np.array_equal(net.predict(x).argmax(axis=1), labels):
            break
    assert np.array_equal(net.predict(x).argmax(axis=1), labels) and last < first
