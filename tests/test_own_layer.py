"""A user's own layer, as the documentation shows it, and the mistakes that are told apart."""

import numpy as np
import pytest

import minicnn as mc
from minicnn.errors import DataError
from minicnn.layers import LayerError, check_backward, from_spec, to_spec


class Scale(mc.Layer):
    def build(self, input_shape, rng):
        self.params["g"] = np.ones(input_shape[-1], np.float32)
        return input_shape

    def forward(self, x, train=False, rng=None):
        return x * self.params["g"], x

    def backward(self, dy, cache):
        return dy * self.params["g"], {"g": (dy * cache).sum(axis=(0, 1, 2))}


class Centre(mc.Layer):
    """Subtracts the mean of the batch: right only when it sees the whole batch, and it has no __init__ of its own to call."""

    def __init__(self, factor):
        self.factor = factor

    def forward(self, x, train=False, rng=None):
        return self.factor * (x - x.mean(axis=0)), None

    def backward(self, dy, cache):
        return self.factor * (dy - dy.mean(axis=0)), {}


def net_of(*layers, shape=(6, 5, 2), dtype="float64", **options):
    return mc.Sequential([mc.Conv2D(3, 3), *layers, mc.Flatten(), mc.Dense(4)], shape, dtype=dtype, **options)


def images(n=5, shape=(6, 5, 2)):
    return np.random.default_rng(3).standard_normal((n, *shape))


def test_the_documented_layer():
    assert mc.check(Scale(), (8, 8, 4)).ok
    net = net_of(Scale(), dtype="float32")
    y, caches = net.forward(images(), train=True)
    dx, grads = net.backward(y, caches)
    assert net.layers[1].name == "scale_1" and grads[1]["g"].shape == (3,) and dx.dtype == np.float32


def test_it_gets_the_whole_batch():
    assert mc.check(Centre(2.0), (4,)).ok
    net, x = mc.Sequential([Centre(2.0)], (400, 400, 3), threads=2), images(37, (400, 400, 3)).astype(np.float32)
    y, caches = net.forward(x, train=True)
    assert len(net.engine.shards(37)) > 1               # the batch would be cut if the layer allowed it
    np.testing.assert_allclose(y, 2 * (x - x.mean(axis=0)), atol=1e-5)
    np.testing.assert_allclose(net.backward(y, caches)[0], 2 * (y - y.mean(axis=0)), atol=1e-5)


def test_its_arguments_are_its_config():
    layer = from_spec(to_spec(Centre(3)), {"Centre": Centre})
    assert isinstance(layer, Centre) and layer.factor == 3 and repr(layer) == "Centre(3)"
    with pytest.raises(LayerError, match="no layer 'Centre'"):
        from_spec(to_spec(Centre(3)))

    class Forgetful(mc.Layer):
        def __init__(self, factor):
            self.scale = factor

    with pytest.raises(LayerError, match="must keep its argument as self.factor"):
        Forgetful(3).config()
    assert repr(Forgetful(3)) == "Forgetful(...)"


def wrong(**methods):
    """Scale with some methods replaced, under the name MyLayer."""
    return type("MyLayer", (Scale,), methods)()


@pytest.mark.parametrize("layer, message", [
    (wrong(build=lambda self, shape, rng: None), r"layer 2 MyLayer.build returned None; it must return the output's shape"),
    (wrong(build=lambda self, shape, rng: (0, 3)), r"MyLayer.build returned \(0, 3\)"),
    (wrong(build=lambda self, shape, rng: self.params.update(g=1.0) or shape),
     r"params\['g'\] must be a NumPy array, not a float"),
])
def test_build_is_held_to_its_contract(layer, message):
    with pytest.raises(LayerError, match=message):
        net_of(layer)


@pytest.mark.parametrize("layer, message", [
    (wrong(forward=lambda self, x, train, rng: (x[:, :1], x)), r"forward returned \(5,1,3,3\); its build promised \(5,4,3,3\)\."),
    (wrong(forward=lambda self, x, train, rng: (x.tolist(), x)), r"forward returned a list; its build promised"),
    (wrong(forward=lambda self, x, train, rng: (x.astype(np.float32), x)), r"forward returned float32; its input was float64\."),
    (wrong(backward=lambda self, dy, x: (dy[0], {"g": dy[0, 0, 0]})),
     r"MyLayer.backward returned \(4,3,3\); its input was \(5,4,3,3\)\."),
    (wrong(backward=lambda self, dy, x: (dy, {})), r"backward returned the gradients \[\]; its params are \['g'\]\."),
    (wrong(backward=lambda self, dy, x: (dy, None)), r"backward returned the gradients NoneType; its params"),
    (wrong(backward=lambda self, dy, x: (None, {"g": dy[0, 0, 0]})), r"backward returned a NoneType; its input was"),
    (wrong(backward=lambda self, dy, x: (dy.astype("f4"), {"g": dy[0, 0, 0]})), r"returned float32; its dy was float64\."),
    (wrong(backward=lambda self, dy, x: (dy, {"g": np.zeros(3, "f4")})), r"returned float32 for g; its dy was float64\."),
    (wrong(backward=lambda self, dy, x: (dy, {"g": dy})), r"backward returned \(5,4,3,3\) for g; its shape is \(3,\)\."),
])
def test_results_are_held_to_the_contract(layer, message):
    net = net_of(layer)
    with pytest.raises(LayerError, match=message) as caught:
        y, caches = net.forward(images(), train=True)
        net.backward(y, caches)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, DataError)


def test_the_message_of_the_manual():
    with pytest.raises(LayerError, match=r"^MyLayer.backward returned \(32,10\); its input was \(32,7,7,16\)\.$"):
        check_backward(wrong(), np.zeros((32, 10)), (32, 7, 7, 16), {})


def test_the_message_tells_of_the_whole_batch_not_of_a_shard():
    net = net_of(wrong(backward=lambda self, dy, x: (dy.sum(axis=(1, 2)), {"g": np.zeros(3)})))
    y, caches = net.forward(images(100), train=True)
    assert len(net.engine.shards(100)) > 1
    with pytest.raises(LayerError, match=r"MyLayer.backward returned \(100,3\); its input was \(100,4,3,3\)\."):
        net.backward(y, caches)


def test_a_strided_result_is_made_plain():
    strided = wrong(forward=lambda self, x, train, rng: (np.asfortranarray(x), x))
    assert np.array_equal(net_of(strided).forward(images())[0], net_of(mc.Dropout(0)).forward(images())[0])


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_a_missing_method_is_named(method):
    layer = wrong(**{method: getattr(mc.Layer, method)})
    net = net_of(layer)
    with pytest.raises(LayerError, match=rf"MyLayer has no {method}\("):
        y, caches = net.forward(images(), train=True)
        net.backward(y, caches)


def test_a_layer_without_settings_takes_no_arguments():
    with pytest.raises(TypeError, match="ReLU takes no arguments"):
        mc.ReLU(3)
    with pytest.raises(TypeError, match="Flatten takes no arguments"):
        mc.Flatten(x=1)


class OnlyDx(mc.Layer):
    def forward(self, x, train=False, rng=None):
        return x, None

    def backward(self, dy, cache):
        return dy


class OnlyY(OnlyDx):
    def forward(self, x, train=False, rng=None):
        return x


@pytest.mark.parametrize(("kind", "message"), [
    (OnlyDx, r"OnlyDx.backward returned \(2,3\); it must return \(dx, {name: gradient}\)"),
    (OnlyY, r"OnlyY.forward returned \(2,3\); it must return \(y, cache\)")])
def test_what_is_not_a_pair_is_named(kind, message):
    net = mc.Sequential([mc.Dense(3), kind()], (3,))
    with pytest.raises(LayerError, match=message):
        mc.Trainer(net).step(np.ones((2, 3)), [0, 1])
    with pytest.raises(LayerError, match="it must return"):
        mc.check(kind(), (3,))
