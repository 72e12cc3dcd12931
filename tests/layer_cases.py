"""One list of layers for all tests of layers: every option of every layer, on shapes whose extents are all different."""

import numpy as np

import minicnn as mc
from minicnn.layers.base import build
from minicnn.layers.chain import flatten
from minicnn.random import Keys, generator

CASES = [
    (lambda: mc.Conv2D(3, 3), (5, 4, 2)),
    (lambda: mc.Conv2D(5, (3, 2), stride=(2, 1), padding=(1, 0, 2, 1)), (5, 6, 2)),
    (lambda: mc.Conv2D(4, 3, padding="same", bias=False), (4, 5, 3)),
    (lambda: mc.Conv2D(2, 4, stride=3, padding="same"), (7, 8, 3)),
    (lambda: mc.Conv2D(3, 2, padding=1), (2, 3, 1)),
    (lambda: mc.MaxPool2D(2), (5, 4, 3)),
    (lambda: mc.MaxPool2D((3, 2), stride=(2, 1), padding=(1, 2, 0, 1)), (5, 4, 2)),
    (lambda: mc.AvgPool2D(2), (4, 7, 3)),
    (lambda: mc.AvgPool2D(3, stride=2, padding=1), (5, 4, 2)),
    (lambda: mc.GlobalAvgPool2D(), (3, 4, 5)),
    (lambda: mc.Dense(4), (5,)),
    (lambda: mc.Dense(3, bias=False), (2,)),
    (lambda: mc.Flatten(), (2, 3, 4)),
    (lambda: mc.ReLU(), (3, 4, 2)),
    (lambda: mc.LeakyReLU(slope=0.2), (3, 4, 2)),
    (lambda: mc.Sigmoid(), (7,)),
    (lambda: mc.Tanh(), (3, 4, 2)),
    (lambda: mc.GELU(), (3, 4, 2)),
    (lambda: mc.Softmax(), (7,)),
    (lambda: mc.Dropout(0.4), (3, 4, 2)),
    (lambda: mc.BatchNorm(), (3, 2, 4)),
    (lambda: mc.BatchNorm(momentum=0.5, eps=0.1), (5,)),
    (lambda: mc.Residual([mc.Conv2D(2, 3, padding=1), mc.BatchNorm(), mc.Tanh()]), (4, 5, 2)),
    (lambda: mc.Residual([mc.Residual([mc.Conv2D(3, 3, 2, padding=1), mc.Tanh()], [mc.Conv2D(3, 1, 2)]), mc.Dropout(0.3)],
                         shortcut=[mc.AvgPool2D(2), mc.Conv2D(3, 1, bias=False)]), (4, 6, 2)),
]
NAMES = [f"{make()!r} on {shape}" for make, shape in CASES]


def built(make, shape, dtype=np.float64, seed=0):
    """A layer with weights of `dtype`, none of them at its plain first value."""
    layer, rng = make(), generator(seed, 1)
    build(layer, shape, rng)
    for part in flatten([layer]):
        for arrays in () if part.children else (part.params, part.state):
            for name, array in arrays.items():
                arrays[name] = (array + rng.uniform(0.05, 0.2, array.shape)).astype(dtype)
    return layer


def batch(shape, n=3, seed=0, dtype=np.float64):
    """n random inputs of `shape`; values that float32 has too."""
    return generator(seed, 2).standard_normal((n, *shape)).astype(np.float32).astype(dtype)


def keys(n=3, seed=0, epoch=0):
    """The random keys of images 0 .. n-1."""
    return Keys(seed, epoch, np.arange(n))
