"""Sequential: shapes, names, weights, passes; what it accepts and what it refuses."""

import hashlib

import numpy as np
import pytest
from PIL import Image

import minicnn as mc
from minicnn import kernels, nets, summary
from minicnn.data import prepare
from minicnn.layers import LayerError


def tiny(**options):
    return mc.Sequential(nets.tiny((8, 8, 1), 10), (8, 8, 1), **options)


def images(n=5, shape=(8, 8, 1)):
    return np.random.default_rng(0).standard_normal((n, *shape)).astype(np.float32)


def test_names_count_the_layers_of_each_class_also_inside_blocks():
    block = mc.Residual([mc.Conv2D(2, 1), mc.ReLU()], [mc.Conv2D(2, 1)])
    net = mc.Sequential([mc.Conv2D(2, 1), block, mc.Conv2D(2, 1)], (3, 3, 1))
    assert [layer.name for layer in net.all_layers()] == ["conv2d_1", "residual_1", "conv2d_2", "relu_1", "conv2d_3", "conv2d_4"]
    assert [layer.stream for layer in net.all_layers()] == [0, 1, 2, 3, 4, 5]
    assert list(net.layers[1].params) == ["conv2d_2/w", "conv2d_2/b", "conv2d_3/w", "conv2d_3/b"]


@pytest.mark.parametrize("layers, shape, message", [
    ([mc.Conv2D(32, 3, padding="same"), mc.ReLU(), mc.MaxPool2D(2), mc.ReLU(), mc.Dense(10)], (14, 14, 1),
     r"^layer 5 Dense\(10\) got \(N,7,7,32\): put Flatten\(\) before it\.$"),
    ([mc.MaxPool2D(2), mc.MaxPool2D(2), mc.ReLU(), mc.MaxPool2D(4)], (12, 12, 1),
     r"^After pool 3 the map would be 0x0 \(input 12x12\)\. Use --size 16 or a net with fewer pools\.$"),
    ([mc.MaxPool2D(2), mc.AvgPool2D(2), mc.Residual([mc.MaxPool2D(8)], [mc.MaxPool2D(8)])], (12, 12, 1),
     r"^After pool 3 the map would be 0x0 \(input 12x12\)\. Use --size 32 or a net with fewer pools\.$"),
    ([mc.Conv2D(4, 3), mc.Conv2D(4, (3, 8))], (9, 9, 1),
     r"^After conv 2 the map would be 5x0 \(input 9x9\)\. Use --size 12 or a net with fewer convolutions\.$"),
    ([mc.Conv2D(4, 3000)], (9, 9, 1), r"Use a larger input or a net with fewer convolutions\.$"),
    ([mc.Residual([mc.Flatten(), mc.Conv2D(4, 1)])], (9, 9, 1),
     r"^layer 1 inner layer 2 Conv2D\(4, 1\) got \(N,81\): it needs maps"),
])
def test_a_layer_that_does_not_fit_is_named(layers, shape, message):
    with pytest.raises(LayerError, match=message):
        mc.Sequential(layers, shape)


def test_the_advised_size_works():
    with pytest.raises(LayerError, match="--size 16 "):
        mc.Sequential(nets.tinyvgg((10, 10, 3), 4), (10, 10, 3))
    mc.Sequential(nets.tinyvgg((16, 16, 3), 4), (16, 16, 3))


def test_layers_that_did_not_fit_may_be_used_again():
    layers = [mc.Conv2D(4, 3), mc.Dense(10)]
    with pytest.raises(LayerError):
        mc.Sequential(layers, (8, 8, 1))
    mc.Sequential([layers[0], mc.Flatten(), layers[1]], (8, 8, 1))


@pytest.mark.parametrize("layers, options, error, message", [
    ([], {}, ValueError, "at least one layer"),
    ([mc.ReLU], {}, TypeError, r"layer 1 is .*; write ReLU\(\.\.\.\)"),
    ([mc.ReLU(), "Dense"], {}, TypeError, "layer 2 is 'Dense', not a Layer"),
    ([mc.ReLU()], {"input_shape": (8, 8)}, ValueError, r"input_shape must be \(H, W, C\) or \(C,\)"),
    ([mc.ReLU()], {"input_shape": (8, 8, 0)}, ValueError, "input_shape must lie in 1"),
    ([mc.ReLU()], {"input_shape": 64}, ValueError, "input_shape must be"),
    ([mc.ReLU()], {"dtype": "int8"}, ValueError, "dtype must be float32 or float64, got int8"),
    ([mc.ReLU()], {"threads": 0}, ValueError, "threads must lie in 1"),
    ([mc.ReLU()], {"seed": -1}, ValueError, "seed must lie in 0"),
])
def test_wrong_arguments(layers, options, error, message):
    with pytest.raises(error, match=message):
        mc.Sequential(layers, **{"input_shape": (8, 8, 1)} | options)


def test_a_layer_belongs_to_one_place():
    layer = mc.Dense(4)
    with pytest.raises(ValueError, match=r"Dense\(4\) of layer 2 already stands in layer 1; make two"):
        mc.Sequential([layer, layer], (4,))
    with pytest.raises(ValueError, match=r"Dense\(4\) of layer 1 already stands in layer 1; make two"):
        mc.Sequential([mc.Residual([layer, layer])], (4,))
    mc.Sequential([layer], (4,))
    with pytest.raises(ValueError, match=r"layer 1 Dense\(4\) already belongs to a net"):
        mc.Sequential([layer], (4,))


def test_weights_follow_from_the_seed():
    first, again, other, double = tiny(), tiny(), tiny(seed=1), tiny(dtype="float64")
    assert first.weights_sha256() == again.weights_sha256() != other.weights_sha256()
    assert first.layers[0].params["w"].dtype == np.float32 and double.layers[0].params["w"].dtype == np.float64
    assert all(np.array_equal(array, double.tensors()[name]) for name, array in first.tensors().items())
    assert not np.array_equal(first.layers[0].params["w"].ravel()[:9], first.layers[3].params["w"].ravel()[:9])


def test_weights_sha256():
    net = mc.Sequential(nets.vgg((8, 8, 1), 3, widths=(2,)), (8, 8, 1))
    conv, norm = net.layers[0], net.layers[1]
    more = [net.layers[3].params["w"], net.layers[4].params["beta"], net.layers[4].params["gamma"],
            net.layers[9].params["b"], net.layers[9].params["w"]]
    state = [norm.state["mean"], norm.state["var"], net.layers[4].state["mean"], net.layers[4].state["var"]]
    arrays = [conv.params["w"], norm.params["beta"], norm.params["gamma"], *more, *state]
    assert net.weights_sha256() == hashlib.sha256(b"".join(a.astype("<f4").tobytes() for a in arrays)).hexdigest()


def test_tensors_travel():
    a, b = (mc.Sequential(nets.resnet8((8, 8, 1), 3), (8, 8, 1), seed=seed) for seed in (1, None))
    assert "params/conv2d_2/w" in a.tensors() and "state/batchnorm_1/var" in a.tensors()
    b.load_tensors(a.tensors())
    assert a.weights_sha256() == b.weights_sha256()
    a.layers[3].params["conv2d_2/w"][...] = 0
    assert b.layers[3].params["conv2d_2/w"].any()           # copies
    tensors = a.tensors()
    with pytest.raises(ValueError, match=r"missing \['params/conv2d_1/w'\], unknown \['x'\]"):
        b.load_tensors({("x" if name == "params/conv2d_1/w" else name): array for name, array in tensors.items()})
    with pytest.raises(ValueError, match=r"params/dense_1/b has shape \(1,\), the net needs \(3,\)"):
        b.load_tensors(tensors | {"params/dense_1/b": np.zeros(1)})


def test_gradients_of_a_whole_net():
    block = [*nets.tiny((6, 6, 2), 3)[:-1], mc.BatchNorm(), mc.Dense(3), mc.Softmax()]
    report = mc.check(mc.Residual(block, shortcut=[mc.Flatten(), mc.Dense(3)]), (6, 6, 2), entries=60)
    assert report.ok and len(report.findings) == 11


def test_forward_converts_numbers_once():
    net, x = tiny(), np.random.default_rng(0).integers(0, 9, (5, 8, 8, 1))
    y, _ = net.forward(x.astype(np.float32))
    for same in (x, x.astype(np.uint8), x.astype(np.float64), x.tolist(), np.asfortranarray(x), x.astype(">f4")):
        assert np.array_equal(net.forward(same)[0], y)
    assert y.dtype == np.float32 and tiny(dtype="float64").forward(x)[0].dtype == np.float64


@pytest.mark.parametrize("x, error, message", [
    (np.zeros((2, 8, 8, 1), complex), TypeError, "x must hold real numbers, got complex128"),
    (np.zeros((2, 8, 8, 1), object), TypeError, "x must hold real numbers, got object"),
    (np.ma.masked_less(np.zeros((2, 8, 8, 1)), 1), TypeError, "x is a masked array"),
    (np.full((2, 8, 8, 1), "3"), TypeError, "x must hold real numbers, got <U1"),
    (np.zeros((2, 8, 8, 3)), ValueError, r"x has shape \(2,8,8,3\), the net needs \(N,8,8,1\)$"),
    (np.zeros((8, 8, 1)), ValueError, r"the net needs \(N,8,8,1\); a single one is a batch of 1: x\[None\]"),
    (np.float32(3), ValueError, "x has shape"),
])
def test_forward_and_predict_refuse(x, error, message):
    for call in (tiny().forward, tiny().predict):
        with pytest.raises(error, match=message):
            call(x)


def test_backward_refuses_another_shape():
    net = tiny()
    _, caches = net.forward(images(), train=True)
    with pytest.raises(ValueError, match=r"dy has shape \(5,9\), the net needs \(N,10\)"):
        net.backward(np.zeros((5, 9)), caches)


def test_predict_applies_softmax_once():
    plain = tiny(seed=3)
    ending = mc.Sequential([*nets.tiny((8, 8, 1), 10), mc.Softmax()], (8, 8, 1), seed=3)
    assert plain.logit_layers == plain.layers and ending.logit_layers == ending.layers[:-1]
    logits, _ = plain.forward(images(300))
    expected = np.empty_like(logits)
    kernels.get("softmax_forward", logits.dtype)(logits, expected)
    assert np.array_equal(plain.predict(images(300)), expected) and np.array_equal(ending.predict(images(300)), expected)
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-6)


def test_an_image_does_not_depend_on_its_batch():
    net = mc.Sequential(nets.vgg((8, 8, 1), 10, widths=(8, 16)), (8, 8, 1))
    together = net.predict(images(270))
    assert all(np.array_equal(net.predict(images(270)[i:i + 1])[0], together[i]) for i in (0, 1, 31, 255, 256, 269))
    assert net.predict(images(0)).shape == (0, 10)


def test_another_column_reaches_all_threads():
    seen = []

    def relu(x, y):
        seen.append(len(x))
        np.maximum(x, 0, out=y)

    net, x = mc.Sequential(nets.tiny((32, 32, 3), 4), (32, 32, 3), threads=2), images(200, (32, 32, 3))
    expected, _ = net.forward(x)
    with mc.use(column="reference"), mc.use(relu_forward=relu):
        found, _ = net.forward(x)
    assert sum(seen) == 2 * 200
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.array_equal(found, expected)              # other sums in other orders: the cpu column was not used


def test_predict_needs_classes():
    with pytest.raises(ValueError, match=r"predict needs a net that ends in \(N,classes\), not in \(N,8,8,1\)"):
        mc.Sequential([mc.ReLU()], (8, 8, 1)).predict(images())


def test_classify_prepares_as_training_did():
    data = mc.load("digits")
    net = tiny()
    net.classes, net.preprocessing = data.classes, data.preprocessing
    pictures = [np.full((8, 8), 255, np.uint8), np.eye(16, dtype=np.uint8) * 200]
    answers = net.classify(pictures)
    expected = net.predict(prepare(pictures, data.preprocessing))
    for answer, p in zip(answers, expected, strict=True):
        assert answer.label == data.classes[p.argmax()] and answer.probability == p.max()
        assert np.array_equal(answer.probabilities, p)


def test_classify_takes_a_path(tmp_path):
    data = mc.load("digits")
    net = tiny()
    net.classes, net.preprocessing = data.classes, data.preprocessing
    Image.fromarray(np.eye(8, dtype=np.uint8) * 250).save(tmp_path / "one.png")
    (one,), (same,) = net.classify(str(tmp_path / "one.png")), net.classify([tmp_path / "one.png"])
    assert one.label == same.label and one.probability == same.probability


def test_classify_needs_a_trained_net():
    with pytest.raises(ValueError, match="no preprocessing and no classes yet"):
        tiny().classify([np.zeros((8, 8), np.uint8)])


def test_summary():
    net = tiny()
    assert summary.parameter_count(net.layers) == (9 * 16 + 16) + (9 * 16 * 32 + 32) + (32 * 10 + 10)
    assert summary.multiply_adds(net.layers) == 64 * 16 * 9 + 16 * 32 * 9 * 16 + 320
    outputs = 4 * (64 * 16 * 2 + 16 * 16 + 16 * 32 * 2 + 32 + 10) + 16 * 16         # floats, and the bytes of argmax
    assert summary.backprop_bytes(net.layers, 4) == 4 * 64 + outputs
    text = net.summary()
    assert len(text.splitlines()) == 2 + 7 + 1 and max(map(len, text.splitlines())) < 120
    assert " 4 Conv2D(32, 3, padding='same')  conv2d_2" in text and "(N,4,4,32)" in text
    assert "7 layers, 5,130 parameters (float32); for each image 83,264 multiply-adds" in text
    assert repr(net) == "Sequential(7 layers, (N,8,8,1) -> (N,10), 5,130 parameters)"


def test_save_and_open(tmp_path):
    net = mc.Sequential(nets.resnet8((8, 8, 3), 4), (8, 8, 3))
    net.save(tmp_path / "net.safetensors")
    again = mc.open(tmp_path / "net.safetensors")
    assert again.weights_sha256() == net.weights_sha256() and again.summary() == net.summary()
    x = images(3, (8, 8, 3))
    assert np.array_equal(net.predict(x), again.predict(x))
