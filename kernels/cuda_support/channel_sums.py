"""Sums over all rows of a matrix (rows, C), channel by channel, two at a time, in an order that the shape alone decides.

First kernel, grid (parts of the rows, groups of LANES channels): thread (line, lane) of a block adds up the terms of its
channel in every LINES-th row of the part; then the lines are added in halves, in shared memory:

    sums[part, 0 or 1, c] = sum over the rows of the part of terms(row, c)

Second kernel, a warp a channel: `totals` adds up the parts, each thread every 32nd, then the butterfly of warp.py.
"""
import functools

import numpy as np

from . import blocks
from ._compat import cuda, device, float32, int32
from .intrinsics import ld1, st1
from .launch import Launch, scratch
from .spec import KernelSpec
from .specialize import specialize, unroll
from .warp import warp_sum


def part_sums(x, dy, mean, var, gamma, beta, sums, eps, rows, part_rows, C):
    """TERMS(all arrays, eps, i, c) -> the two terms of element i, which belongs to channel c."""
    a = cuda.shared.array(BLOCK, float32, alignment=16)
    b = cuda.shared.array(BLOCK, float32, alignment=16)
    t = int32(cuda.threadIdx.x)
    line, lane = int32(t // int32(LANES)), int32(t % int32(LANES))
    part = int32(cuda.blockIdx.x)
    c = int32(int32(cuda.blockIdx.y) * int32(LANES) + lane)
    first, second = float32(0), float32(0)
    if c < C:
        for row in range(part * part_rows + line, min(part * part_rows + part_rows, rows), int32(LINES)):
            p, q = TERMS(x, dy, mean, var, gamma, beta, eps, int32(row * C + c), c)
            first += p
            second += q
    st1(a, t, first)
    st1(b, t, second)
    for level in unroll(LEVELS):
        cuda.syncthreads()
        if line < int32(LINES >> (level + 1)):
            st1(a, t, ld1(a, t) + ld1(a, t + int32((LINES >> (level + 1)) * LANES)))
            st1(b, t, ld1(b, t) + ld1(b, t + int32((LINES >> (level + 1)) * LANES)))
    if line == int32(0) and c < C:
        st1(sums, int32(2 * part * C + c), ld1(a, t))
        st1(sums, int32((2 * part + 1) * C + c), ld1(b, t))


@device
def totals(sums, c, lane, C, parts):
    """The two sums of channel c over all parts, for the threads of one warp."""
    first, second = float32(0), float32(0)
    for part in range(lane, parts, int32(32)):
        first += ld1(sums, int32(2 * part * C + c))
        second += ld1(sums, int32((2 * part + 1) * C + c))
    return warp_sum(first), warp_sum(second)


@functools.cache
def _spec(name, terms, lanes, block):
    lines = block // lanes
    function = specialize(part_sums, f"{name}_{lanes}", TERMS=terms, LANES=lanes, LINES=lines, BLOCK=block,
                          LEVELS=lines.bit_length() - 1)
    return KernelSpec(function, f"void({', '.join(['float32[::1]'] * 7)}, float32, int32, int32, int32)", block)


def channel_sums(name, terms, x, dy, mean, var, gamma, beta, eps):
    """(sums (parts, 2, C), number of parts, the launch that fills them), of arrays (..., C)."""
    C = x.shape[-1]
    rows = x.size // C
    lanes = min(32, 1 << (C - 1).bit_length())              # as many channels side by side as there are, up to a warp
    spec = _spec(name, terms, lanes, blocks.SUMS)
    groups, lines = -(-C // lanes), blocks.SUMS // lanes
    parts = max(1, min(-(-rows // (lines * blocks.SUM_ROWS)), blocks.SUM_PARTS // groups))
    part_rows = -(-rows // parts)
    parts = -(-rows // part_rows) if rows else 0
    sums = scratch(x, 2 * parts * C)
    return sums, parts, Launch(spec, (parts, groups), x, dy, mean, var, gamma, beta, sums, np.float32(eps), np.int32(rows),
                               np.int32(part_rows), np.int32(C))
