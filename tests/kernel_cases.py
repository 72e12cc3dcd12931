"""Valid arguments for any kernel of the table, from a few extents: what all tests of the cpu column are fed with.

A shape is a dict of extents by axis letter and of integers by name: {"N": 2, "H": 5, ..., "stride_h": 2, "pad_top": 1}.
Arrays with any axes (`*`) get (N, E). Outputs are poisoned: NaN in floats, 0xCB in bytes.
"""
import itertools
import math

import numpy as np

from minicnn import kernels

POISON = 0xCB
NUMBERS = {         # of integer data: halves and quarters, so that products stay exact
    True: {"slope": 0.25, "eps": 0.0, "rate": 0.5, "label_smoothing": 0.25, "scale": 0.25, "lr": 0.5, "momentum": 0.5,
           "weight_decay": 0.25, "beta1": 0.5, "beta2": 0.75, "count": 64, "step": 1, "seed": 3, "stream": 1, "epoch": 2},
    False: {"slope": 0.1, "eps": 1e-5, "rate": 0.3, "label_smoothing": 0.1, "scale": 0.37, "lr": 0.1, "momentum": 0.9,
            "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.99, "count": 1000, "step": 5, "seed": 2**62 + 12345,
            "stream": 2**32 - 1, "epoch": 7},
}
POSITIVE = {"var", "v", "weights"}      # arguments that are not of any sign
ROUNDED = {         # kernels that round more than once, even on integers
    "sigmoid_forward", "tanh_forward", "gelu_forward", "gelu_backward", "softmax_forward", "softmax_cross_entropy_forward",
    "softmax_cross_entropy_backward", "batchnorm_statistics", "adam_update", "adamw_update",
}


def is_exact(name, shape):
    """Whether a kernel rounds at most once on integers of this shape: a share of a gradient is a power of two, or rounded."""
    letters = {"avgpool2d_backward": "RS", "mean_squared_error_backward": "K"}.get(name, "")
    parts = math.prod(shape[letter] for letter in letters)
    return name not in ROUNDED and parts & (parts - 1) == 0


def windows(H, W, R, S, stride=(1, 1), top=0, left=0, bottom=0, right=0, **extents):
    """The shape of a convolution or pool: as many windows as fit."""
    P, Q = (H + top + bottom - R) // stride[0] + 1, (W + left + right - S) // stride[1] + 1
    return extents | {"H": H, "W": W, "R": R, "S": S, "P": P, "Q": Q, "size_h": R, "size_w": S, "stride_h": stride[0],
                      "stride_w": stride[1], "pad_top": top, "pad_left": left}


def pooled_windows(H, W, R, S, size=(2, 2), top=0, left=0, bottom=0, right=0, **extents):
    """The shape of a convolution under a max pool: as many windows of the pool as fit."""
    P, Q = (H + top + bottom - R + 1) // size[0], (W + left + right - S + 1) // size[1]
    return extents | {"H": H, "W": W, "R": R, "S": S, "P": P, "Q": Q, "size_h": size[0], "size_w": size[1], "pad_top": top,
                      "pad_left": left}


def extents_of(array, shape):
    """The shape of one array argument."""
    return shape.get("*", (shape.get("N"), shape.get("E"))) if array.axes == "*" else tuple(shape[a] for a in array.axes)


def build(name, shape, seed=0, integers=True):
    """The arguments of one call, in order; float arrays hold integers in [-4, 4], or normal random numbers."""
    spec, rng = kernels.SPECS[name], np.random.default_rng(seed)
    return [_values(array, extents_of(array, shape), shape, rng, integers) for array in spec.arrays] + [
        (shape if n in shape else NUMBERS[integers])[n] for n in spec.integers + spec.floats]


def _values(array, extents, shape, rng, integers):
    if array.output and not array.updated:
        poison, dtype = (POISON, np.uint8) if array.dtype == "uint8" else (np.nan, np.float32)
        return np.full(extents, poison, dtype)
    if array.name == "labels":
        return rng.integers(0, shape["K"], extents)
    if array.name == "samples":
        return rng.integers(-2**40, 2**40, extents)
    if array.name == "argmax":          # one more than there are places: none of them, which convpool2d calls 255
        places = shape["size_h"] * shape["size_w"]
        found = rng.integers(0, places + ("stride_h" not in shape), extents)
        return np.where(found < places, found, 255).astype(np.uint8)
    if array.name == "mask":
        return rng.integers(0, 2, extents).astype(np.uint8)
    if array.name in POSITIVE:
        values = 4.0 ** rng.integers(-1, 2, extents) if integers else rng.uniform(0.1, 2, extents)
    else:
        values = rng.integers(-4, 5, extents) if integers else rng.standard_normal(extents)
    return np.asarray(values, np.float32)


def run(column, name, args):
    """The outputs by name of one call on copies of args; float64 in the reference column. Inputs must stay as they are."""
    spec = kernels.SPECS[name]
    arrays = args[:len(spec.arrays)]
    wide = column == "reference"
    given = [a.astype(np.float64) if wide and a.dtype == np.float32 else a.copy() for a in arrays]
    before = [a.tobytes() for a in given]
    kernels.function(column, name)(*given, *args[len(arrays):])
    for array, value, old in zip(spec.arrays, given, before, strict=True):
        assert array.output or value.tobytes() == old, f"{column} {name} changed its input {array.name} {value.shape}"
    return {array.name: value for array, value in zip(spec.arrays, given, strict=True) if array.output}


def assert_same(name, shape, integers=True, seed=0):
    """The cpu column gives the reference's numbers, rounded once (-0 and +0 are alike)."""
    args = build(name, shape, seed, integers)
    exact = run("reference", name, args)
    for output, value in run("cpu", name, args).items():
        right = value == exact[output].astype(value.dtype)
        assert right.all(), (f"{name} {shape}: {np.count_nonzero(~right)} of {value.size} values of {output} are wrong, first "
                             f"{np.argwhere(~right)[0]}: {value[~right][0]} instead of {exact[output][~right][0]}")


WINDOWS = list(itertools.product((1, 2, 5, 8), (1, 3, 6, 7), (1, 2, 3), (1, 2, 5), (1, 2, 3), (1, 3)))
SIDES = list(itertools.product((0, 1, 2), (0, 1), (0, 2), (0, 1, 2)))


def window_grid(pool):
    """1,410 shapes: inputs x filters x strides; the four pads and the channels go through their values beside."""
    channels = itertools.cycle([1, 3, 15, 16, 17, 2, 33, 5])
    for i, (h, w, r, s, down, across) in enumerate(WINDOWS):
        for top, left, bottom, right in (SIDES[i % len(SIDES)], SIDES[(7 * i + 3) % len(SIDES)]):
            if pool:
                top, left, bottom, right = min(top, r - 1), min(left, s - 1), min(bottom, r - 1), min(right, s - 1)
            if h + top + bottom >= r and w + left + right >= s:
                extents = {"N": 1 + i % 3, "C": next(channels), "K": next(channels)}
                yield windows(h, w, r, s, (down, across), top, left, bottom, right, **extents)


CONVOLUTIONS = [
    windows(1, 1, 1, 1, N=1, C=1, K=1),
    windows(5, 7, 3, 2, (1, 1), 1, 0, 2, 1, N=2, C=3, K=17),
    windows(6, 4, 2, 3, (2, 1), 0, 2, 0, 1, N=3, C=17, K=16),
    windows(7, 9, 3, 3, (2, 3), 1, 1, 1, 1, N=2, C=16, K=33),
    windows(3, 16, 1, 2, (1, 1), 0, 0, 0, 0, N=1, C=2, K=6),
    windows(4, 3, 1, 1, (3, 2), 2, 1, 0, 2, N=2, C=5, K=10),
    windows(2, 3, 5, 4, (1, 2), 3, 2, 2, 3, N=1, C=33, K=3),
    windows(3, 2, 1, 1, (50, 50), 0, 4, N=2, C=5, K=3),             # one window, left of the image: no pixel is met
    windows(7, 6, 5, 5, N=2, C=6, K=17),                            # LeNet-5's second layer: dx by scattering
    windows(24, 24, 5, 5, N=1, C=2, K=3),                           # and in more than one round of it
]
POOLS = [
    windows(1, 1, 1, 1, N=1, C=1),
    windows(5, 6, 2, 3, (1, 2), 1, 1, 0, 2, N=2, C=15),
    windows(7, 4, 3, 2, (2, 2), 0, 0, 2, 1, N=1, C=16),
    windows(6, 9, 2, 2, (3, 3), 1, 0, 0, 1, N=3, C=17),
    windows(3, 3, 3, 3, (1, 1), 2, 2, 2, 2, N=1, C=33),
]
PLAIN = [
    {"N": 1, "H": 1, "W": 1, "C": 1, "K": 1, "E": 1},
    {"N": 2, "H": 3, "W": 5, "C": 15, "K": 17, "E": 15},
    {"N": 3, "H": 2, "W": 2, "C": 16, "K": 16, "E": 16},
    {"N": 15, "H": 5, "W": 3, "C": 33, "K": 10, "E": 5},
    {"N": 17, "H": 4, "W": 8, "C": 3, "K": 33, "E": 7},
]


POOLED_CONVOLUTIONS = [
    pooled_windows(1, 1, 1, 1, (1, 1), N=1, C=1, K=1),
    pooled_windows(8, 9, 3, 3, (2, 2), 1, 1, 1, 1, N=2, C=3, K=5),
    pooled_windows(12, 12, 5, 5, (2, 2), 2, 2, 2, 2, N=3, C=1, K=6),           # few taps in a row: lanes over pixels, or spread
    pooled_windows(14, 11, 5, 5, (2, 2), N=2, C=6, K=16),
    pooled_windows(9, 7, 2, 3, (3, 2), 1, 0, N=2, C=17, K=33),
    pooled_windows(7, 8, 3, 3, (1, 2), 0, 2, 1, 0, N=1, C=40, K=18),           # filter rows of more vectors than a tile has
    pooled_windows(6, 13, 3, 1, (2, 3), 0, 0, 0, 2, N=2, C=16, K=32),
    pooled_windows(4, 4, 3, 3, (2, 2), N=2, C=2, K=34),                         # one window, and a K that wants dy spread out
]


def pooled_grid():
    """Shapes of convolutions under a max pool: inputs x filters x windows; pads and channels go through their values beside."""
    channels, sides = itertools.cycle([1, 3, 15, 16, 17, 2, 33, 5]), itertools.cycle(SIDES)
    for h, w, r, s, down, across in itertools.product((2, 5, 8), (3, 6, 9), (1, 2, 3), (1, 3, 5), (1, 2, 3), (1, 2)):
        top, left, bottom, right = next(sides)
        shape = pooled_windows(h, w, r, s, (down, across), top, left, bottom, right, N=2, C=next(channels), K=next(channels))
        if shape["P"] > 0 and shape["Q"] > 0:
            yield shape


def grid_of(name):
    """The grid of shapes of a kernel with windows."""
    return pooled_grid() if name.startswith("convpool2d") else window_grid("size_h" in kernels.SPECS[name].integers)


def few_shapes(name):
    """A handful of shapes of a kernel, with tails of all kinds: for tests that are about something else than shapes."""
    if name.startswith("convpool2d"):
        return POOLED_CONVOLUTIONS
    return (POOLS if "size_h" in kernels.SPECS[name].integers else CONVOLUTIONS) if kernels.SPECS[name].windows else PLAIN
