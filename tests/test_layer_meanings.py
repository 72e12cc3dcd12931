"""What each layer means in particular, by numbers worked by hand, and what its constructor refuses."""

import numpy as np
import pytest
from layer_cases import batch, built, keys

import minicnn as mc
from minicnn.initializers import constant, glorot_uniform, he_normal
from minicnn.layers import LayerError, from_spec
from minicnn.layers.base import build, in_order
from minicnn.layers.windows import MapVanished
from minicnn.random import generator


@pytest.mark.parametrize("layer, shape, expected", [
    (mc.Conv2D(4, 3), (7, 9, 2), (5, 7, 4)),
    (mc.Conv2D(4, 3, stride=2), (8, 9, 2), (3, 4, 4)),
    (mc.Conv2D(4, (1, 5), padding=2), (3, 4, 1), (7, 4, 4)),
    (mc.Conv2D(4, 3, padding=(0, 1, 2, 3)), (5, 5, 1), (4, 8, 4)),
    (mc.Conv2D(4, 3, stride=2, padding="same"), (7, 8, 1), (4, 4, 4)),
    (mc.Conv2D(4, 2, stride=5, padding="same"), (11, 4, 1), (3, 1, 4)),
    (mc.MaxPool2D(2), (7, 9, 3), (3, 4, 3)),
    (mc.MaxPool2D(3, stride=2, padding=1), (7, 8, 3), (4, 4, 3)),
    (mc.AvgPool2D((2, 3), stride=1), (4, 5, 3), (3, 3, 3)),
    (mc.GlobalAvgPool2D(), (4, 5, 3), (3,)),
    (mc.Flatten(), (4, 5, 3), (60,)),
    (mc.Dense(7), (60,), (7,)),
    (mc.BatchNorm(), (60,), (60,)),
], ids=repr)
def test_output_shape(layer, shape, expected):
    assert build(layer, shape, generator(0, 0)) == expected


def test_same_padding_puts_the_extra_row_at_the_end():
    layer = built(lambda: mc.Conv2D(1, 2, padding="same", bias=False), (2, 2, 1))
    layer.params["w"][...] = np.array([[1, 10], [100, 1000]], float).reshape(2, 2, 1, 1)
    y, _ = layer.forward(np.array([[1, 2], [3, 4]], float).reshape(1, 2, 2, 1))
    assert y.ravel().tolist() == [1 + 20 + 300 + 4000, 2 + 400, 3 + 40, 4]     # windows start at the pixel itself


def test_average_pooling_divides_by_the_whole_window():
    y, _ = built(lambda: mc.AvgPool2D(2, padding=1), (2, 2, 1)).forward(np.full((1, 2, 2, 1), 8.0))
    assert y.ravel().tolist() == [2.0] * 4


def test_max_pooling_gives_a_tie_to_the_first():
    layer = built(lambda: mc.MaxPool2D(2), (2, 2, 1))
    y, cache = layer.forward(np.ones((1, 2, 2, 1)))
    assert layer.backward(np.full_like(y, 5), cache)[0].ravel().tolist() == [5, 0, 0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_passes(dtype):
    x = np.full((1, 4, 4, 1), np.nan, dtype)
    for layer in (mc.ReLU(), mc.LeakyReLU(), mc.MaxPool2D(2), mc.GELU(), mc.Tanh()):
        build(layer, (4, 4, 1), None)
        assert np.isnan(layer.forward(x)[0]).all()


def test_batchnorm_by_hand():
    layer = mc.BatchNorm(momentum=0.75, eps=1e-12)
    build(layer, (1,), generator(0, 0))
    layer.params["gamma"][...], layer.params["beta"][...] = 2, 10
    x = np.array([[1.0], [2.0], [6.0]], np.float32)                     # mean 3, sum of squares 14
    y, _ = layer.forward(x, train=True)
    np.testing.assert_allclose(y, 10 + 2 * (x - 3) / np.sqrt(14 / 3), rtol=1e-6)
    np.testing.assert_allclose(layer.state["mean"], 0.75 * 0 + 0.25 * 3, rtol=1e-6)
    np.testing.assert_allclose(layer.state["var"], 0.75 * 1 + 0.25 * 7, rtol=1e-6)      # unbiased: 14 / 2
    before = {name: array.copy() for name, array in layer.state.items()}
    y, _ = layer.forward(x, train=False)
    np.testing.assert_allclose(y, 10 + 2 * (x - 0.75) / np.sqrt(2.5), rtol=1e-6)
    assert all(np.array_equal(before[name], layer.state[name]) for name in before)


def test_batchnorm_of_shards_far_from_zero():
    """Mean 1000, deviation 1, shards of which each has a mean of its own: as the whole batch at once, in float64."""
    layer, rng = mc.BatchNorm(momentum=0), np.random.default_rng(0)
    build(layer, (3, 3, 5), generator(0, 0))
    shards = [(rng.standard_normal((n, 3, 3, 5)) + 1000 + n).astype(np.float32) for n in (1, 4, 2)]
    ys = [y for y, _ in layer.forward_shards(shards, True, None, in_order)]
    x = np.concatenate(shards).astype(np.float64)
    np.testing.assert_allclose(layer.state["var"], x.var(axis=(0, 1, 2), ddof=1), rtol=1e-6)
    np.testing.assert_allclose(layer.state["mean"], x.mean(axis=(0, 1, 2)), rtol=1e-7)
    y = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2)) + layer.eps)
    np.testing.assert_allclose(np.concatenate(ys), y, atol=1e-4)            # x - mean is off by half a step at 1000


def test_batchnorm_needs_two_values_in_training():
    layer = built(lambda: mc.BatchNorm(), (1, 1, 4))
    layer.forward(batch((1, 1, 4), n=1), train=False)
    with pytest.raises(LayerError, match="needs at least 2 values per channel in training, got 1"):
        layer.forward(batch((1, 1, 4), n=1), train=True)


def test_dropout():
    layer, x = mc.Dropout(0.25), np.ones((4, 50, 40, 1), np.float32)
    build(layer, x.shape[1:], None)
    y, _ = layer.forward(x, True, keys(4))
    assert set(np.unique(y)) == {0, np.float32(4 / 3)}
    assert 0.23 < (y == 0).mean() < 0.27                    # 8,000 draws: 4 standard deviations are 0.02
    assert layer.forward(x)[0] is x
    with pytest.raises(ValueError, match="needs random keys in training"):
        layer.forward(x, train=True)


def test_a_dropout_mask_depends_on_sample_epoch_seed_and_stream_only():
    def mask(seed=0, epoch=0, stream=0, images=slice(None)):
        layer = mc.Dropout(0.5)
        layer.stream = stream
        x = np.ones((6, 32), np.float32)
        return layer.forward(x[images], True, keys(6, seed, epoch).shard(*images.indices(6)[:2]))[0]

    assert np.array_equal(mask(), mask()) and np.array_equal(mask(images=slice(2, 5)), mask()[2:5])
    assert len({mask(**change).tobytes() for change in ({}, {"seed": 1}, {"epoch": 1}, {"stream": 1})}) == 4
    assert len({row.tobytes() for row in mask()}) == 6


def test_residual_by_hand():
    layer = built(lambda: mc.Residual([mc.Dense(2, bias=False)]), (2,))
    layer.params["dense_1/w"][...] = [[1, 2], [3, 4]]
    y, cache = layer.forward(np.array([[1.0, 10.0]]))
    assert y.tolist() == [[1 + 30 + 1, 2 + 40 + 10]]
    dx, grads = layer.backward(np.array([[1.0, 100.0]]), cache)
    assert dx.tolist() == [[1 + 200 + 1, 3 + 400 + 100]]
    assert grads["dense_1/w"].tolist() == [[1, 100], [10, 1000]]


def test_residual_weights_can_not_be_replaced_by_accident():
    layer = built(lambda: mc.Residual([mc.Dense(2)]), (2,))
    with pytest.raises(TypeError):
        layer.params["dense_1/w"] = np.zeros((2, 2))


@pytest.mark.parametrize("layer, shape, message", [
    (mc.Dense(10), (7, 7, 32), r"Dense\(10\) got \(N,7,7,32\): put Flatten\(\) before it\."),
    (mc.Softmax(), (7, 7, 32), r"Softmax\(\) got \(N,7,7,32\): put Flatten\(\) before it\."),
    (mc.Conv2D(8, 3), (32,), r"Conv2D\(8, 3\) got \(N,32\): it needs maps \(N,H,W,C\)"),
    (mc.MaxPool2D(2), (32,), r"MaxPool2D\(2\) got \(N,32\): it needs maps"),
    (mc.BatchNorm(), (3, 4), r"BatchNorm\(\) got \(N,3,4\): it needs \(N,H,W,C\) or \(N,C\)"),
    (mc.Residual([mc.Dense(3)]), (4,), r"Residual adds \(N,3\) of its layers to \(N,4\) of its shortcut"),
    (mc.Residual([mc.ReLU()], [mc.Dense(3)]), (4, 4, 1), r"shortcut layer 1 Dense\(3\) got \(N,4,4,1\): put Flatten"),
])
def test_what_does_not_fit_is_named(layer, shape, message):
    with pytest.raises(LayerError, match=message):
        build(layer, shape, None)


def test_a_map_that_vanishes():
    with pytest.raises(MapVanished, match=r"MaxPool2D\(4\) got a map of 3x9: its output would be 0x2") as caught:
        build(mc.MaxPool2D(4), (3, 9, 1), None)
    assert caught.value.output == (0, 2)


@pytest.mark.parametrize("make, error", [
    (lambda: mc.Conv2D(0, 3), "filters must lie in 1"), (lambda: mc.Conv2D(2.5, 3), "filters must be an integer"),
    (lambda: mc.Conv2D(8, (3, 3, 3)), "size must be an integer or a pair"),
    (lambda: mc.Conv2D(8, 3, stride=0), "stride must lie"),
    (lambda: mc.Conv2D(8, 3, stride=-1), "stride must lie"), (lambda: mc.Conv2D(8, True), "size must be an integer"),
    (lambda: mc.Conv2D(8, 3, padding="full"), 'padding must be "valid"'),
    (lambda: mc.Conv2D(8, 3, padding=(1, 1)), "four sides"),
    (lambda: mc.Conv2D(8, 3, padding=-1), "padding must lie"), (lambda: mc.Conv2D(8, 3, bias="no"), "bias must be True or False"),
    (lambda: mc.MaxPool2D(16), "at most 255 taps, got 16x16"), (lambda: mc.MaxPool2D(2, padding=2), "padding must be smaller"),
    (lambda: mc.AvgPool2D((3, 1), padding=(0, 0, 1, 0)), "padding must be smaller"), (lambda: mc.Dense(-1), "units must lie"),
    (lambda: mc.Dropout(1), "rate must be finite and >= 0 and < 1"), (lambda: mc.Dropout("0.5"), "rate must be a number"),
    (lambda: mc.LeakyReLU(float("nan")), "slope must be finite, got nan"), (lambda: mc.BatchNorm(momentum=2), "momentum must be"),
    (lambda: mc.BatchNorm(eps=0), "eps must be"), (lambda: mc.Residual([]), "at least one layer"),
    (lambda: mc.Residual([3]), "takes lists of layers"),
    (lambda: from_spec({"layer": "Conv2D", "filters": 3}), "Conv2D: .*missing"),
    (lambda: from_spec({"layer": "Conv3D"}), "no layer 'Conv3D'"), (lambda: from_spec({"layer": ["ReLU"]}), "no layer"),
    (lambda: from_spec({"layer": "Residual", "layers": [{"layer": "os"}], "shortcut": []}), "Residual: no layer 'os'"),
    (lambda: from_spec({"layer": "Residual", "layers": []}), "Residual needs layers and shortcut"),
])
def test_constructors_refuse(make, error):
    with pytest.raises((TypeError, ValueError), match=error):
        make()


def test_initializers():
    rng = generator(0, 0)
    he, glorot = he_normal((300, 400), 50, rng), glorot_uniform((300, 400), 40, 20, rng)
    assert abs(he.std() / np.sqrt(2 / 50) - 1) < 0.02 and abs(he.mean()) < 0.002
    assert abs(np.abs(glorot).max() / np.sqrt(6 / 60) - 1) < 1e-4 and abs(glorot.std() / np.sqrt(2 / 60) - 1) < 0.02
    assert he.dtype == glorot.dtype == constant(1, (2,), rng).dtype == np.float32
    huge = he_normal((10**6, 10**6), 1, None)               # a placeholder: 4 TB that take no memory
    assert huge.shape == (10**6, 10**6) and not huge.flags.writeable
