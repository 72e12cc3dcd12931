"""The named nets: functions of the input's shape (H, W, C) and the number of classes that return a list of layers.

    net = Sequential(nets.lenet((28, 28, 1), 10), input_shape=(28, 28, 1))

NETS is the one list of them, by the names of the command line. SMALLEST is the smallest input each is meant for.
Sources: LeCun et al. 1998, "Gradient-based learning", section II.B (lenet); Wang et al. 2020, "CNN Explainer"
(tinyvgg); Simonyan and Zisserman 2015 (vgg: pairs of 3x3 convolutions); He et al. 2016, section 4.2 (resnet8).
"""
from __future__ import annotations

from .layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, GlobalAvgPool2D, Layer, MaxPool2D, ReLU, Residual
from .layers.base import Shape


def tiny(input_shape: Shape, classes: int) -> list[Layer]:
    """Two convolutions and an average over the map: for small pictures."""
    return [
        Conv2D(16, 3, padding="same"), ReLU(), MaxPool2D(2),
        Conv2D(32, 3, padding="same"), ReLU(), GlobalAvgPool2D(),
        Dense(classes),
    ]


def lenet(input_shape: Shape, classes: int) -> list[Layer]:
    """LeNet-5 with ReLU and max pooling."""
    return [
        Conv2D(6, 5, padding="same"), ReLU(), MaxPool2D(2),
        Conv2D(16, 5), ReLU(), MaxPool2D(2),
        Flatten(), Dense(120), ReLU(), Dense(84), ReLU(), Dense(classes),
    ]


def mnist(input_shape: Shape, classes: int, dropout: float = 0.5) -> list[Layer]:
    """Two wide convolutions and one dense layer."""
    return [
        Conv2D(32, 3), ReLU(), MaxPool2D(2),
        Conv2D(64, 3), ReLU(), MaxPool2D(2),
        Flatten(), *([Dropout(dropout)] if dropout else []), Dense(classes),
    ]


def tinyvgg(input_shape: Shape, classes: int) -> list[Layer]:
    """Four narrow convolutions, as drawn in CNN Explainer (there with 64x64x3)."""
    block = [[Conv2D(10, 3), ReLU(), Conv2D(10, 3), ReLU(), MaxPool2D(2)] for _ in range(2)]
    return [*block[0], *block[1], Flatten(), Dense(classes)]


def vgg(input_shape: Shape, classes: int, widths: tuple[int, ...] = (32, 64, 128), dropout: float = 0.3) -> list[Layer]:
    """Pairs of 3x3 convolutions with batch norm; the map halves as the width doubles."""
    layers: list[Layer] = []
    for width in widths:
        for _ in range(2):
            layers += [Conv2D(width, 3, padding="same", bias=False), BatchNorm(), ReLU()]
        layers += [MaxPool2D(2)]
    return [*layers, Flatten(), *([Dropout(dropout)] if dropout else []), Dense(classes)]


def vgg_small(input_shape: Shape, classes: int) -> list[Layer]:
    """`vgg` at twice the width and without dropout: the net of the benchmarks."""
    return vgg(input_shape, classes, widths=(64, 128, 256), dropout=0)


def resnet8(input_shape: Shape, classes: int) -> list[Layer]:
    """Three residual blocks; where the width changes, stride 2 and a 1x1 convolution on the shortcut."""
    layers: list[Layer] = [Conv2D(32, 3, padding=1, bias=False), BatchNorm(), ReLU()]
    for width, stride in ((32, 1), (64, 2), (128, 2)):
        layers += [
            Residual([Conv2D(width, 3, stride, padding=1, bias=False), BatchNorm(), ReLU(),
                      Conv2D(width, 3, padding=1, bias=False), BatchNorm()],
                     shortcut=[Conv2D(width, 1, stride, bias=False), BatchNorm()] if stride != 1 else []),
            ReLU(),
        ]
    return [*layers, GlobalAvgPool2D(), Dense(classes)]


NETS = {
    "tiny": tiny, "lenet": lenet, "mnist": mnist, "tinyvgg": tinyvgg, "vgg": vgg, "vgg-small": vgg_small,
    "resnet8": resnet8,
}
SMALLEST = {"tiny": 4, "lenet": 16, "mnist": 10, "tinyvgg": 16, "vgg": 8, "vgg-small": 8, "resnet8": 8}


def default(input_shape: Shape) -> str:
    """The net that `train` takes where none is named: `tiny` below 16x16, `vgg` from there on."""
    return "tiny" if min(input_shape[:2]) < 16 else "vgg"
