"""The named nets: their layers, their smallest input, and that each of them learns."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import nets, summary
from minicnn.layers import LayerError


def kinds(layers):
    return " ".join(type(layer).__name__ for layer in layers)


@pytest.mark.parametrize("name, shape, parameters", [
    ("tiny", (8, 8, 1), 160 + 4_640 + 330),
    ("lenet", (28, 28, 1), 61_706),                             # the count of LeNet-5 with full connections
    ("mnist", (28, 28, 1), 34_826),                             # the count that Keras prints for its MNIST example
    ("tinyvgg", (64, 64, 3), 280 + 3 * 910 + 13 * 13 * 10 * 10 + 10),
    ("vgg", (32, 32, 3), 864 + 9_216 + 18_432 + 36_864 + 73_728 + 147_456 + 4 * (32 + 64 + 128) + 2_048 * 10 + 10),
    ("vgg-small", (32, 32, 3), 1_728 + 36_864 + 73_728 + 147_456 + 294_912 + 589_824 + 4 * (64 + 128 + 256) + 4_096 * 10 + 10),
    ("resnet8", (32, 32, 3), 864 + 64 + 2 * (9_216 + 64) + (18_432 + 36_864 + 2_048 + 3 * 128)
     + (73_728 + 147_456 + 8_192 + 3 * 256) + 1_290),
])
def test_parameters(name, shape, parameters):
    net = mc.Sequential(nets.NETS[name](shape, 10), shape, seed=None)
    assert net.output_shape == (10,) and summary.parameter_count(net.layers) == parameters


def test_layers_stand_as_described():
    assert kinds(nets.tiny((8, 8, 1), 2)) == "Conv2D ReLU MaxPool2D Conv2D ReLU GlobalAvgPool2D Dense"
    assert kinds(nets.mnist((28, 28, 1), 2)) == "Conv2D ReLU MaxPool2D Conv2D ReLU MaxPool2D Flatten Dropout Dense"
    assert kinds(nets.mnist((28, 28, 1), 2, dropout=0)) == "Conv2D ReLU MaxPool2D Conv2D ReLU MaxPool2D Flatten Dense"
    assert kinds(nets.vgg((32, 32, 3), 2)).count("Conv2D BatchNorm ReLU") == 6
    assert "Dropout" in kinds(nets.vgg((32, 32, 3), 2)) and "Dropout" not in kinds(nets.vgg_small((32, 32, 3), 2))
    blocks = [layer for layer in nets.resnet8((32, 32, 3), 2) if isinstance(layer, mc.Residual)]
    assert [kinds(block.shortcut) for block in blocks] == ["", "Conv2D BatchNorm", "Conv2D BatchNorm"]


@pytest.mark.parametrize("name", nets.NETS)
def test_the_smallest_input(name):
    size = nets.SMALLEST[name]
    net = mc.Sequential(nets.NETS[name]((size, size, 3), 7), (size, size, 3))
    probabilities = net.predict(np.random.default_rng(0).standard_normal((3, size, size, 3)))
    assert probabilities.shape == (3, 7) and np.isfinite(probabilities).all()


@pytest.mark.parametrize("name, size", [("mnist", 9), ("tinyvgg", 15), ("vgg", 7), ("lenet", 11)])
def test_below_it_the_message_says_what_to_do(name, size):
    message = rf"the map would be 0x0 \(input {size}x{size}\)\. Use --size \d+ or a net with fewer pools"
    with pytest.raises(LayerError, match=message):
        mc.Sequential(nets.NETS[name]((size, size, 1), 7), (size, size, 1))


def test_the_default_net():
    assert nets.default((8, 8, 1)) == "tiny" and nets.default((15, 40, 3)) == "tiny"
    assert nets.default((16, 16, 3)) == "vgg" == nets.default((48, 64, 3))
    assert set(nets.SMALLEST) == set(nets.NETS)


@pytest.mark.parametrize("name", nets.NETS)
def test_every_net_fits_a_few_images(name):
    """Sixteen images of noise with labels by chance are learned by heart: forward, backward and update belong together."""
    size = max(8, nets.SMALLEST[name])
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((16, size, size, 1)).astype(np.float32), rng.integers(0, 3, 16)
    net = mc.Sequential(nets.NETS[name]((size, size, 1), 3), (size, size, 1))
    trainer = mc.Trainer(net, optimizer=mc.Adam(0.003 if name.startswith("vgg") else 0.01), loss=mc.SoftmaxCrossEntropy())
    losses = [trainer.step(x, labels, epoch=epoch) for epoch in range(120)]         # a new epoch, a new dropout mask
    assert losses[-1] < 0.3 * losses[0]
    assert (net.predict(x).argmax(axis=1) == labels).mean() > 0.9
