"""The four nets that are measured, with the batches that every contender is given.

    NETS: name -> (layers, input shape, images of a batch)

Both sides of a comparison call these functions in processes of their own and get the same weights and the same images.
"""
from __future__ import annotations

import numpy as np

import minicnn as mc

NETS = {
    "lenet": (mc.nets.lenet, (28, 28, 1), 128),
    "mnist": (lambda shape, classes: mc.nets.mnist(shape, classes, dropout=0), (28, 28, 1), 128),
    "tinyvgg": (mc.nets.tinyvgg, (64, 64, 3), 64),
    "vgg-small": (mc.nets.vgg_small, (32, 32, 3), 128),
}
CLASSES = 10
BATCHES = 4


def first_net(name: str, threads: int | None = None) -> mc.Sequential:
    make, shape, _ = NETS[name]
    return mc.Sequential(make(shape, CLASSES), shape, seed=0, threads=threads)


def trained_net(name: str, threads: int | None = None) -> mc.Sequential:
    """`first_net` with statistics of batch norm as training leaves them: none is 0 or 1."""
    net, rng = first_net(name, threads), np.random.default_rng(1)
    around = {"mean": (-0.3, 0.3), "var": (0.5, 1.5)}       # means of more would leave a ReLU nothing to pass on
    moved = {key: rng.uniform(*around[key.rpartition("/")[2]], array.shape).astype(np.float32)
             for key, array in net.tensors().items() if key.startswith("state/")}
    net.load_tensors(net.tensors() | moved)
    return net


def batches(name: str, images: int | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """(x, labels) of noise: the time does not depend on the values, as long as they stay ordinary."""
    rng, (_, shape, n) = np.random.default_rng(0), NETS[name]
    n = images or n
    return [(rng.standard_normal((n, *shape)).astype(np.float32), rng.integers(0, CLASSES, n)) for _ in range(BATCHES)]
