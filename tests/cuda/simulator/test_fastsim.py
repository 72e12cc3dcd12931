"""The simulator finds what it promises to find: each fault is planted here, and must be named."""
import linecache
import re

import fastsim
import numpy as np
import pytest
from fastsim import BarrierDivergence
from numba import cuda, float32, int32
from tracked import RaceError

from minicnn.kernels import batchnorm_cuda
from minicnn.kernels.cuda_support import warp
from minicnn.kernels.cuda_support.intrinsics import divide, ld1, ldv4, st1, stv4
from minicnn.kernels.cuda_support.launch import Launch
from minicnn.kernels.cuda_support.spec import KernelSpec


def launch(function, *args, grid=(1,), block=32, seed=0, shared_bytes=0):
    with fastsim.installed(seed):
        Launch(KernelSpec(function, "", block, shared_bytes=shared_bytes), grid, *args)()


def without(function, line, number):
    """The function without the number-th line of this text."""
    text = "".join(linecache.cache[function.__code__.co_filename][2])
    places = [match.start() for match in re.finditer(re.escape(line), text)]
    text = text[:places[number]] + "pass" + text[places[number] + len(line):]
    made = {}
    exec(compile(text, "<planted>", "exec"), function.__globals__, made)
    return made[function.__name__]


def channel_sums_launch():
    """The first launch of batchnorm_statistics of 40 rows of 3 channels, all ones."""
    return batchnorm_cuda.batchnorm_statistics.plan(np.ones((40, 1, 1, 3), np.float32),
                                                    *(np.zeros(3, np.float32) for _ in range(3)))[0]


def test_each_deleted_barrier_of_the_channel_sums_is_found():
    first = channel_sums_launch()
    barriers = "".join(linecache.cache[first.spec.function.__code__.co_filename][2]).count("cuda.syncthreads()")
    assert barriers == 4                                    # 16 lines of 4 lanes
    for number in range(barriers):
        function = without(first.spec.function, "cuda.syncthreads()", number)
        with pytest.raises(RaceError, match=r"shared memory of batchnorm_sum_4 line \d+\[\d+\]: thread \d+ of .* no barrier"):
            launch(function, *first.args, grid=first.grid, block=first.spec.block)


def test_the_whole_kernel_passes():
    first = channel_sums_launch()
    with fastsim.installed():
        first()
    assert np.nansum(first.args[6]) == 40 * 3


def neighbour(y, barrier):
    s = cuda.shared.array(64, float32, alignment=16)
    t = int32(cuda.threadIdx.x)
    st1(s, t, float32(t))
    if barrier:
        cuda.syncthreads()
    st1(y, t, ld1(s, (t + 1) % 64))


def test_a_read_before_the_barrier_and_the_same_behind_it():
    for seed in range(4):
        with pytest.raises(RaceError, match="shared memory of neighbour"):
            launch(neighbour, np.zeros(64, np.float32), False, block=64, seed=seed)
    y = np.zeros(64, np.float32)
    launch(neighbour, y, True, block=64)
    assert np.array_equal(y, np.roll(np.arange(64), -1))


def within_a_warp(y):
    s = cuda.shared.array(64, float32, alignment=16)
    t = int32(cuda.threadIdx.x)
    st1(s, t, float32(t))
    cuda.syncwarp()
    st1(y, t, ld1(s, t ^ 1))


def across_warps(y):
    s = cuda.shared.array(64, float32, alignment=16)
    t = int32(cuda.threadIdx.x)
    st1(s, t, float32(t))
    cuda.syncwarp()
    st1(y, t, ld1(s, t ^ 32))


def test_a_warp_barrier_orders_its_warp_only():
    y = np.zeros(64, np.float32)
    launch(within_a_warp, y, block=64)
    assert np.array_equal(y, np.arange(64) ^ 1)
    with pytest.raises(RaceError, match="shared memory of across_warps"):
        launch(across_warps, y, block=64)


def one_place(y):
    st1(y, 0, float32(cuda.blockIdx.x))


def place_of_the_block_before(y):
    i = int32(cuda.blockIdx.x)
    if cuda.threadIdx.x == 0:
        st1(y, i, ld1(y, i - 1) + float32(1) if i else float32(0))


@pytest.mark.parametrize("function, block", [(one_place, 1), (one_place, 2), (place_of_the_block_before, 32)])
def test_threads_and_blocks_that_share_global_memory(function, block):
    with pytest.raises(RaceError, match=r"argument 0\[\d\]"):
        launch(function, np.zeros(4, np.float32), grid=(4,), block=block)


def two_barriers(n):
    if cuda.threadIdx.x < n:
        cuda.syncthreads()
    else:
        cuda.syncthreads()


def ends_early(n):
    if cuda.threadIdx.x < n:
        return
    cuda.syncthreads()


def part_of_a_warp(n):
    if cuda.threadIdx.x < n:
        warp.warp_sum(float32(1))


def warp_beside_block(n):
    if cuda.threadIdx.x < n:
        warp.warp_sum(float32(1))
    else:
        cuda.syncthreads()


@pytest.mark.parametrize("function, message", [
    (two_barriers, r"different barriers: two_barriers line \d+ and two_barriers line \d+"),
    (ends_early, r"27 of 32 threads of the block wait at ends_early line"),
    (part_of_a_warp, r"5 of 32 lanes of the warp wait at warp_sum line"),
    (warp_beside_block, "threads of one warp wait at"),
])
def test_threads_that_do_not_meet(function, message):
    with pytest.raises(BarrierDivergence, match=message):
        launch(function, 5)


def read(y, i):
    ld1(y, i)


def write(y, i):
    st1(y, i, float32(0))


@pytest.mark.parametrize("function, i", [(read, -1), (read, 8), (write, -1), (write, 8)])
def test_indices_outside(function, i):
    with pytest.raises(IndexError, match=rf"thread 0 of block .*argument 0: index \({i},\) is outside of \(8,\)"):
        launch(function, np.zeros(8, np.float32), i, block=1)


def four(y, i, aligned):
    s = cuda.shared.array(8, float32, alignment=16)
    u = cuda.shared.array(8, float32)
    a, b, c, d = ldv4(y, i)
    if aligned:
        stv4(s, 0, a, b, c, d)
    else:
        stv4(u, 0, a, b, c, d)


def test_accesses_of_four_must_be_aligned():
    launch(four, np.zeros(8, np.float32), 4, True, block=1)
    for i, aligned in ((2, True), (4, False)):
        with pytest.raises(ValueError, match="no aligned access"):
            launch(four, np.zeros(8, np.float32), i, aligned, block=1)


def unwritten(y):
    s = cuda.shared.array(4, float32, alignment=16)
    u = cuda.local.array(4, float32)
    v = cuda.shared.array(0, float32, alignment=16)
    st1(y, 0, ld1(s, 0))
    st1(y, 1, u[1])
    st1(y, 2, ld1(v, 7))
    st1(y, 3, float32(v.size))


def test_memory_that_nobody_has_written_is_nan():
    y = np.zeros(4, np.float32)
    launch(unwritten, y, block=1, shared_bytes=32)
    assert np.isnan(y[:3]).all() and y[3] == 8


def sums_of_warps(x, y, z):
    t = int32(cuda.threadIdx.x)
    st1(y, t, warp.warp_sum(ld1(x, t)))
    st1(z, t, warp.warp_maximum(ld1(x, t)))


def test_warp_sums_and_maxima():
    x, y, z = np.arange(96, dtype=np.float32), *np.zeros((2, 96), np.float32)
    x[70] = np.nan
    launch(sums_of_warps, x, y, z, block=96, seed=3)
    assert (y[:32] == 496).all() and (y[32:64] == 1520).all() and np.isnan(y[64:]).all()
    assert (z[:32] == 31).all() and (z[32:64] == 63).all() and np.isnan(z[64:]).all()


def test_divide_refuses_what_it_cannot():
    assert divide(7, 2) == 3
    for a, b in ((-1, 2), (1, 0), (1, -1)):
        with pytest.raises(ValueError, match=rf"divide\({a}, {b}\)"):
            divide(a, b)


def test_the_order_of_threads_is_shuffled_and_repeats():
    def trace(seed):
        order = []
        launch(lambda: order.append((cuda.blockIdx.x, cuda.threadIdx.x)), grid=(3,), block=8, seed=seed)
        return order
    assert trace(1) == trace(1) != trace(2) and sorted(trace(1)) == sorted(trace(2)) and len(set(trace(1))) == 24
