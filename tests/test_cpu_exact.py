"""The cpu column against the reference on integers in [-4, 4], where float32 makes no error: equal, at every shape.

No tolerance, so every index, tail and edge that is wrong shows. Outputs are poisoned with NaN (bytes: 0xCB), so what is
not written shows too. The grids run through every remainder of the tiles (rows 1 .. 29 of up to 14, columns 1 .. 33 of
16 lanes, and around the panels of 32), through strides, pads on each side, and filters that are not square.
"""
import itertools

import numpy as np
import pytest
from kernel_cases import ROUNDED, assert_same, build, few_shapes, grid_of, is_exact, pooled_windows, run, window_grid, windows

from minicnn import kernels

ROWS = range(1, 30)
COLUMNS = [*range(1, 34), 47, 48, 63, 64, 65]
CONVOLUTIONS = [name for name in kernels.KERNELS if name.startswith("conv2d")]
POOLED = [name for name in kernels.KERNELS if name.startswith("convpool2d")]
MAXPOOLS = ["maxpool2d_forward", "maxpool2d_backward"]
AVGPOOLS = ["avgpool2d_forward", "avgpool2d_backward"]
ELEMENTWISE = [name for name, spec in kernels.SPECS.items() if spec.arrays[0].axes == "*" and name not in ROUNDED]
ROWWISE = [name for name, spec in kernels.SPECS.items() if spec.arrays[0].axes in ("NK", "NE") and name not in ROUNDED
           and not name.startswith("dense")]
CHANNELWISE = [name for name in kernels.KERNELS if name.startswith(("batchnorm", "global")) and name not in ROUNDED]


def test_every_kernel_is_swept_here_or_rounds():
    dense = {name for name in kernels.KERNELS if name.startswith("dense")}
    swept = {*CONVOLUTIONS, *POOLED, *MAXPOOLS, *AVGPOOLS, *ELEMENTWISE, *ROWWISE, *CHANNELWISE, *dense}
    assert swept | ROUNDED == set(kernels.KERNELS) and not swept & ROUNDED


@pytest.mark.parametrize("name, rows, columns", [
    ("dense_forward", "N", "K"), ("dense_backward_input", "N", "C"), ("dense_backward_weight", "C", "K"),
])
def test_dense_at_every_remainder_of_the_tile(name, rows, columns):
    (summed,) = {"N", "C", "K"} - {rows, columns}
    for m, n in itertools.product(ROWS, COLUMNS):
        assert_same(name, {rows: m, columns: n, summed: 1 + (m + n) % 5})


@pytest.mark.parametrize("name", ["dense_forward", "dense_backward_input", "dense_backward_weight"])
def test_dense_over_long_sums(name):
    """Sums longer than a run of 1,024 products, and not a multiple of it."""
    for n, c, k in [(1, 1025, 10), (3, 2049, 33), (1023, 2, 3), (1024, 3, 17), (1025, 5, 2), (2600, 15, 33), (7, 400, 1030)]:
        assert_same(name, {"N": n, "C": c, "K": k})


@pytest.mark.parametrize("name, rows, columns", [
    ("conv2d_forward", "Q", "K"), ("conv2d_backward_input", "W", "C"), ("conv2d_backward_weight", "C", "K"),
])
def test_convolution_at_every_remainder_of_the_tile(name, rows, columns):
    for m, n in itertools.product(ROWS, COLUMNS):
        if rows == "C":
            shape = windows(2, 3, 1, 1 + n % 2, N=2, C=m, K=n)
        elif rows == "Q":
            shape = windows(3, m + 2, 2, 3, N=1, C=1 + m % 3, K=n)
        else:
            shape = windows(2, m, 2, 3, top=1, left=1, right=1, N=1, C=n, K=1 + m % 3)
        assert_same(name, shape)


def test_the_grid_of_windows_has_what_it_should():
    for pool in (False, True):
        shapes = list(window_grid(pool))
        after = [(s["P"] - 1) * s["stride_h"] + s["R"] - s["pad_top"] - s["H"] for s in shapes]
        assert len(shapes) > 600 and min(after) < 0 < max(after)                    # rows left over, and rows added
        assert any(s["pad_top"] != a for s, a in zip(shapes, after, strict=True))
        assert any(s["stride_h"] > s["R"] for s in shapes) and any(s["R"] != s["S"] for s in shapes)
        assert any(s["stride_h"] != s["stride_w"] for s in shapes)
        assert pool or any(s["R"] > s["H"] for s in shapes)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_over_windows(name):
    for shape in window_grid(False):
        assert_same(name, shape)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_beyond_the_grid(name):
    """More pad than filter, filters much larger than the image, strides that jump over it, several rounds of scratch."""
    for shape in [
        windows(1, 1, 1, 1, (1, 1), 9, 8, 7, 6, N=2, C=3, K=4),
        windows(3, 2, 7, 11, (1, 1), 5, 9, 6, 8, N=2, C=2, K=3),
        windows(3, 4, 2, 2, (9, 7), 8, 7, 6, 9, N=1, C=2, K=5),
        windows(5, 5, 3, 3, (100, 1), 1, 1, 1, 1, N=2, C=3, K=2),
        windows(2, 2, 2, 2, (2, 2), 4096, 0, 0, 4096, N=1, C=1, K=1),
        windows(40, 40, 3, 3, (1, 1), 1, 1, 1, 1, N=7, C=31, K=5),          # five images fill the scratch
        windows(37, 41, 2, 3, (1, 1), 1, 2, 0, 1, N=3, C=3, K=90),
        windows(18, 17, 2, 2, (1, 1), 0, 0, 0, 0, N=8, C=2, K=3),           # three images are a run of the weight gradient
        windows(18, 17, 3, 2, (1, 1), 1, 0, 1, 1, N=8, C=2, K=3),
        windows(40, 40, 1, 1, (1, 1), 0, 0, 0, 0, N=2, C=3, K=33),          # an image is more than a run
        windows(40, 39, 5, 5, (1, 1), 0, 0, 0, 0, N=2, C=3, K=7),           # dx scattered in several rounds
        windows(41, 30, 7, 3, (2, 1), 3, 1, 2, 0, N=2, C=2, K=5),
    ]:
        assert_same(name, shape)


@pytest.mark.parametrize("name", POOLED)
def test_convolution_under_a_pool_over_windows(name):
    shapes = list(grid_of(name))
    assert len(shapes) > 300 and {s["size_h"] for s in shapes} == {1, 2, 3}
    for shape in shapes:
        assert_same(name, shape)


@pytest.mark.parametrize("name", POOLED)
def test_convolution_under_a_pool_at_every_remainder_of_the_tiles(name):
    for n in (*range(1, 34), 48, 65):
        assert_same(name, pooled_windows(4, 7, 2, 3, (2, 2), 1, 1, 0, 0, N=1, C=1 + n % 3, K=n))
        assert_same(name, pooled_windows(5, 6, 3, 2, (2, 2), N=2, C=n, K=1 + n % 5))
    for rows, c in ((1, 8), (2, 7), (3, 6), (7, 3), (9, 1), (2, 200)):            # filter rows of so many channels
        assert_same(name, pooled_windows(rows + 3, 3, rows, 1, (2, 3), N=1, C=c, K=2))


@pytest.mark.parametrize("name", POOLED)
def test_convolution_under_a_pool_over_long_sums(name):
    """More winners than a run of 1,024, more images than the scratch holds."""
    assert_same(name, pooled_windows(70, 70, 3, 3, (2, 2), 1, 1, 1, 1, N=2, C=6, K=3))
    assert_same(name, pooled_windows(28, 28, 1, 3, (2, 2), N=14, C=1, K=33))


@pytest.mark.parametrize("name", MAXPOOLS)
def test_maxpool_over_windows(name):
    for shape in window_grid(True):
        assert_same(name, shape)


@pytest.mark.parametrize("name", AVGPOOLS)
def test_avgpool_over_windows(name):
    for shape in window_grid(True):
        if is_exact(name, shape):
            assert_same(name, shape)


@pytest.mark.parametrize("name", MAXPOOLS + AVGPOOLS)
def test_pools_of_many_channels_and_large_windows(name):
    for c in (*range(1, 35), 47, 48, 49, 64, 100):
        assert_same(name, windows(4, 5, 2, 2, (2, 1), 1, 0, 0, 1, N=2, C=c))
    for r, s in ((16, 8), (1, 64), (128, 1)):
        assert_same(name, windows(r + 1, s + 2, r, s, (1, 2), r // 2, s - 1, 0, 0, N=1, C=3))


@pytest.mark.parametrize("name", ["maxpool2d_forward", "maxpool2d_backward"])
def test_maxpool_names_up_to_255_taps(name):
    for r, s in ((15, 17), (255, 1), (1, 255)):
        assert_same(name, windows(r + 1, s, r, s, N=1, C=2))


def test_maxpool_takes_the_first_of_equal_values():
    for shape in window_grid(True):
        args = build("maxpool2d_forward", shape)
        args[0][...] = 1
        result, exact = run("cpu", "maxpool2d_forward", args), run("reference", "maxpool2d_forward", args)
        assert np.array_equal(result["argmax"], exact["argmax"])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_kernels_of_every_length(name):
    for e in (*range(1, 70), 127, 128, 1000):
        assert_same(name, {"*": (1 + e % 3, e)})
    for axes in ((), (5,), (3, 1, 7), (2, 3, 4, 5)):
        assert_same(name, {"*": axes})


@pytest.mark.parametrize("name", ROWWISE)
def test_rowwise_kernels_of_every_width(name):
    for k in (*range(1, 70), 100, 256, 257):
        if is_exact(name, {"K": k}):
            assert_same(name, {"N": 1 + k % 4, "K": k, "E": k})


@pytest.mark.parametrize("name", CHANNELWISE)
def test_channelwise_kernels_of_every_width_and_number_of_rows(name):
    for c in (*range(1, 35), 48, 65):
        assert_same(name, {"N": 2, "H": 3, "W": 4, "C": c})
    for h, w in ((1, 1), (1, 255), (16, 16), (257, 1), (27, 19), (1024, 1), (5, 205), (33, 64)):    # blocks: 64 rows of 16
        assert_same(name, {"N": 1, "H": h, "W": w, "C": 17})


@pytest.mark.parametrize("name", [name for name in kernels.KERNELS if name not in ROUNDED])
def test_an_empty_batch_gives_empty_outputs_and_sums_of_zero(name):
    spec = kernels.SPECS[name]
    shape = few_shapes(name)[1] | {"N": 0}
    args = build(name, shape)
    if any(a.updated for a in spec.arrays):
        return assert_same(name, shape)
    for array in spec.outputs:
        value = run("cpu", name, args)[array.name]
        assert value.size == 0 if "N" in array.axes or array.axes == "*" else not value.any()


@pytest.mark.parametrize("name", [name for name in kernels.KERNELS if name not in ROUNDED])
def test_inputs_may_be_read_only(name):
    spec = kernels.SPECS[name]
    for shape in few_shapes(name):
        args = build(name, shape)
        expected = run("cpu", name, args)
        for array, value in zip(spec.arrays, args, strict=False):
            value.flags.writeable = array.output
        kernels.function("cpu", name)(*args)
        for array, value in zip(spec.arrays, args, strict=False):
            assert not array.output or np.array_equal(value, expected[array.name], equal_nan=True)
