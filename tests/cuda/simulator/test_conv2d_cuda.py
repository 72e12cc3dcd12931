"""Convolutions and dense layers of the cuda column in the simulator: tiny tiles, so that a few pixels make many blocks.

On small integers a kernel must give the reference's numbers exactly, whatever its order of sums; on random numbers it may
be off by a few eps of the sum of the absolute values. Outputs begin as NaN, threads run in a shuffled order, and every
access of shared memory is checked for a barrier in between.
"""
import fastsim
import numpy as np
import pytest
from closeness import assert_close
from kernel_bounds import sums_of_any_sign
from kernel_cases import build, run, windows

from minicnn import kernels
from minicnn.kernels import conv2d_cuda, dense_cuda
from minicnn.kernels.cuda_support import tiles
from minicnn.kernels.cuda_support.geometry import Geometry
from minicnn.kernels.cuda_support.tiles import Tile

SMALL = Tile(16, 16, 8, 4, 4, WX=4)         # 16 threads; where 4 numbers are loaded at a time, some have none to load
LONG = Tile(32, 32, 4, 8, 4)                # a thread's rows lie in two groups
WARPS = Tile(32, 32, 8, 4, 4, WX=4)         # two warps side by side

# Every kernel runs all of these. By name what is in them:
SHAPES = {
    "one of all": windows(1, 1, 1, 1, N=1, C=1, K=1),
    "vectors, blocks both ways": windows(5, 6, 3, 3, (1, 1), 1, 1, 1, 1, N=2, C=8, K=24),
    "vectors with tails": windows(4, 5, 3, 2, (1, 1), 1, 0, 1, 1, N=2, C=12, K=20),
    "no vectors": windows(5, 4, 2, 3, (1, 1), 0, 2, 1, 0, N=2, C=6, K=17),
    "vectors of x only": windows(4, 4, 3, 3, (1, 1), 1, 1, 1, 1, N=1, C=4, K=10),
    "vectors of w only": windows(4, 5, 2, 2, (1, 1), 0, 0, 0, 0, N=2, C=5, K=8),
    "a gray picture": windows(7, 6, 5, 5, (1, 1), 2, 2, 2, 2, N=1, C=1, K=6),
    "a colour picture": windows(6, 5, 3, 3, (1, 1), 1, 1, 1, 1, N=2, C=3, K=20),
    "one tap": windows(3, 5, 1, 1, N=3, C=16, K=8),
    "one tap, strided": windows(5, 7, 1, 1, (2, 2), N=2, C=8, K=5),
    "strides down and across": windows(7, 8, 3, 3, (2, 3), 1, 1, 1, 1, N=2, C=4, K=12),
    "a stride beyond the filter": windows(8, 7, 2, 1, (3, 2), 1, 0, 0, 0, N=1, C=3, K=4),
    "pads beyond the filter": windows(2, 3, 2, 2, (1, 1), 3, 2, 2, 3, N=1, C=4, K=4),
    "a filter beyond the image": windows(2, 3, 5, 4, (1, 2), 3, 2, 2, 3, N=1, C=5, K=3),
    "rows that no window reaches": windows(6, 8, 3, 3, (2, 2), 0, 0, 0, 0, N=1, C=4, K=4),
    "one window beside the image": windows(3, 2, 1, 1, (50, 50), 0, 4, N=2, C=5, K=3),
}
KERNELS = {"conv2d_forward": conv2d_cuda.forward, "conv2d_relu_forward": conv2d_cuda.forward,
           "conv2d_backward_input": conv2d_cuda.backward_input, "conv2d_backward_weight": conv2d_cuda.backward_weight}


def geometry_of(shape):
    return Geometry(*(shape[name] for name in "HWCRSKPQ"), shape["stride_h"] if shape["P"] > 1 else 1,
                    shape["stride_w"] if shape["Q"] > 1 else 1, shape["pad_top"], shape["pad_left"])


def check(name, args, launch):
    """The outputs after launch(*arrays), held against the reference."""
    spec = kernels.SPECS[name]
    arrays = [a.copy() for a in args[:len(spec.arrays)]]
    with fastsim.installed(seed=len(arrays[0])):
        for call in launch(*arrays):
            call()
    exact = run("reference", name, args)
    given = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in args]
    bounds = sums_of_any_sign(name, dict(zip(spec.parameters, given, strict=True)), exact)
    integers = all((a == np.round(a)).all() for a, array in zip(args, spec.arrays, strict=False) if not array.output)
    for array, value, before in zip(spec.arrays, arrays, args, strict=False):
        if not array.output:
            assert value.tobytes() == before.tobytes(), f"{name} changed {array.name}"
        elif integers:
            assert np.array_equal(value, exact[array.name]), f"{name}: {array.name}"
        else:
            c, terms = bounds[array.name]
            assert_close(value, exact[array.name], terms, c, f"{name}: {array.name}")


def options(name, tile):
    """What a test gives a kernel beside its arguments: sizes so small that every grid has several blocks."""
    return {"tile": tile} | {"conv2d_relu_forward": {"relu": True}, "conv2d_backward_input": {"turn": (4, 2), "threads": 16},
                             "conv2d_backward_weight": {"chunk": 3 * tile.BK, "threads": 16}}.get(name, {})


@pytest.mark.parametrize("integers", [True, False], ids=["integers", "random"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", KERNELS)
def test_convolution(name, shape, integers):
    shape = SHAPES[shape]
    geometry = geometry_of(shape)
    args = build(name, shape, seed=1, integers=integers)
    check(name, args, lambda *arrays: KERNELS[name](*arrays, geometry, **options(name, SMALL)))


@pytest.mark.parametrize("tile", [LONG, WARPS], ids=["long", "warps"])
@pytest.mark.parametrize("shape", ["vectors with tails", "no vectors", "a colour picture", "strides down and across"])
@pytest.mark.parametrize("name", KERNELS)
def test_other_tiles(name, shape, tile):
    geometry = geometry_of(SHAPES[shape])
    args = build(name, SHAPES[shape], seed=2)
    check(name, args, lambda *arrays: KERNELS[name](*arrays, geometry, **options(name, tile)))


ONE_BLOCK = {       # as the nets have it, with the tile that the table names: shapes of which one block is enough
    "conv2d_forward": [windows(4, 4, 1, 1, N=2, C=8, K=256), windows(8, 8, 3, 3, (1, 1), 1, 1, 1, 1, N=1, C=3, K=64)],
    "conv2d_relu_forward": [windows(4, 5, 1, 2, N=2, C=6, K=10)],
    "conv2d_backward_input": [windows(4, 4, 1, 1, N=1, C=64, K=8)],
    "conv2d_backward_weight": [windows(2, 4, 1, 1, N=1, C=128, K=256)],
}
TILES = {"conv2d_forward": tiles.FORWARD, "conv2d_relu_forward": tiles.FORWARD, "conv2d_backward_input": tiles.FORWARD,
         "conv2d_backward_weight": tiles.WEIGHT}


@pytest.mark.parametrize("name, shape", [(name, shape) for name, shapes in ONE_BLOCK.items() for shape in shapes])
def test_tiles_of_the_table(name, shape):
    columns = shape["C" if name == "conv2d_backward_input" else "K"]
    table = tiles.FIRST if shape["C"] == 3 else TILES[name]
    given = options(name, tiles.by_columns(table, columns)) | {"conv2d_backward_weight": {"chunk": None}}.get(name, {})
    check(name, build(name, shape, seed=3), lambda *arrays: KERNELS[name](*arrays, geometry_of(shape), **given))


@pytest.mark.parametrize("name", KERNELS)
def test_as_it_is_called(name):
    """Whatever tiles the table chooses; an empty batch, too."""
    for images in (2, 0):
        args = build(name, SHAPES["strides down and across"] | {"N": images}, seed=4)
        outputs = run("reference", name, args)
        with fastsim.installed():
            getattr(conv2d_cuda, name)(*args)
        for array, value in zip(kernels.SPECS[name].arrays, args, strict=False):
            assert not array.output or np.array_equal(value, outputs[array.name])


DENSE = {
    "one of all": {"N": 1, "C": 1, "K": 1},
    "blocks both ways": {"N": 40, "C": 16, "K": 24},
    "tails": {"N": 19, "C": 20, "K": 12},
    "no vectors": {"N": 5, "C": 17, "K": 10},
    "vectors of x only": {"N": 18, "C": 8, "K": 3},
    "vectors of w only": {"N": 3, "C": 7, "K": 20},
    "few terms": {"N": 33, "C": 2, "K": 5},
    "many terms": {"N": 2, "C": 70, "K": 4},
}
DENSE_KERNELS = {"dense_forward": conv2d_cuda.forward, "dense_backward_input": conv2d_cuda.backward_input,
                 "dense_backward_weight": conv2d_cuda.backward_weight}


@pytest.mark.parametrize("integers", [True, False], ids=["integers", "random"])
@pytest.mark.parametrize("shape", DENSE)
@pytest.mark.parametrize("name", DENSE_KERNELS)
def test_dense(name, shape, integers):
    shape = DENSE[shape]
    given = options(name.replace("dense", "conv2d"), SMALL)
    args = build(name, shape, seed=5, integers=integers)
    check(name, args, lambda *arrays: DENSE_KERNELS[name](*arrays, Geometry.dense(shape["C"], shape["K"]), **given))


@pytest.mark.parametrize("name", DENSE_KERNELS)
def test_dense_as_it_is_called(name):
    args = build(name, {"N": 9, "C": 12, "K": 10}, seed=6)
    outputs = run("reference", name, args)
    with fastsim.installed():
        getattr(dense_cuda, name)(*args)
    for array, value in zip(kernels.SPECS[name].arrays, args, strict=False):
        assert not array.output or np.array_equal(value, outputs[array.name])
