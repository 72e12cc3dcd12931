"""Kernels that treat a matrix (N, K) row by row: a warp a row, thread l of it takes the columns l, l + 32, ..."""
import functools

import numpy as np

from . import blocks
from ._compat import cuda, device, int32
from .launch import Launch
from .spec import KernelSpec

WARP = 32


@device
def row_and_lane():
    """The row of this thread's warp, which may lie behind the last one, and the thread's number in the warp."""
    thread = int32(cuda.blockIdx.x) * int32(cuda.blockDim.x) + int32(cuda.threadIdx.x)
    return int32(thread >> int32(5)), int32(thread & int32(31))


def by_rows(kernel, types, N, K, *args):
    """The launch of kernel(args..., N, K), whose warps find their row by `row_and_lane`."""
    spec = _spec(kernel, types, blocks.ROWS)
    return [Launch(spec, (-(-N // (spec.block // WARP)),), *args, np.int32(N), np.int32(K))]


@functools.cache
def _spec(kernel, types, block):
    return KernelSpec(kernel, f"void({types}, int32, int32)", block)
