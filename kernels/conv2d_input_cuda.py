"""Gradient of a convolution by its input on the GPU: convolutions of dy, one for each phase of the stride.

    dx[n, h, i, c] = sum over r, s, k of dy[n, p, q, k] w[r, s, c, k]     where h = p stride_h + r - pad_top, i alike

The rows h that taps r = r0, r0 + stride_h, ... reach are every stride_h-th row from h0 = (r0 - pad_top) mod stride_h on. For
these rows, as for the columns of s0, the sum is a convolution of stride 1 of dy with the filter's taps of this phase, last
tap first, their channels swapped:

    taps      R' = ceil((R - r0) / stride_h)                       S' alike
    rows      P' = ceil((H - h0) / stride_h)                       Q' alike
    pad       R' - 1 - (h0 + pad_top - r0) / stride_h              may be negative: the first row may lie inside dy

`turn_filters` writes the filters of all phases one after the other into v; conv2d_forward_cuda.py then runs once for each.
Stride 1 has one phase. Pixels that no tap reaches (a stride beyond the filter) get 0 from `clear` first.
"""
import functools
from dataclasses import dataclass

from .conv2d_forward_cuda import NOT_SPREAD, Spread
from .cuda_support._compat import cuda, float32, int32
from .cuda_support.geometry import Geometry
from .cuda_support.intrinsics import ld1, st1
from .cuda_support.spec import KernelSpec
from .cuda_support.specialize import specialize, unroll

TURN_SIGNATURE = "void(float32[::1], float32[::1])"
CLEAR_SIGNATURE = "void(float32[::1], int32)"


def turn_filters(w, v):
    """w (R,S,C,K) -> v: phases of (R',S',K,C). Grid (K / SIDE, C / SIDE, R S), SIDE x ROWS threads.

    A square goes through shared memory, so that both sides are read and written along their rows.
    """
    square = cuda.shared.array(SQUARE, float32, alignment=16)      # (SIDE, SIDE + 1): columns fall on different banks, too
    t = int32(cuda.threadIdx.x)
    row = int32(t // int32(SIDE))
    col = int32(t - row * int32(SIDE))
    k0 = int32(int32(cuda.blockIdx.x) * int32(SIDE))
    c0 = int32(int32(cuda.blockIdx.y) * int32(SIDE))
    tap = int32(cuda.blockIdx.z)
    r = int32(tap // int32(S))
    s = int32(tap - r * int32(S))
    r0 = int32(r % int32(stride_h))
    s0 = int32(s % int32(stride_w))
    rows = int32((int32(R) - r0 + int32(stride_h - 1)) // int32(stride_h))         # R', S' of this tap's phase
    cols = int32((int32(S) - s0 + int32(stride_w - 1)) // int32(stride_w))
    # taps of the phases before: whole rows of the filter, and of the rows of this phase the columns of those before
    above = r0 * int32(R // stride_h) + min(r0, int32(R % stride_h))
    beside = s0 * int32(S // stride_w) + min(s0, int32(S % stride_w))
    place = int32(above * int32(S) + rows * beside
                  + (rows - int32(1) - r // int32(stride_h)) * cols + cols - int32(1) - s // int32(stride_w))
    for i in unroll(PASSES):
        c = int32(c0 + row + int32(i * ROWS))
        if c < int32(C) and k0 + col < int32(K):
            st1(square, (row + int32(i * ROWS)) * int32(SIDE + 1) + col, ld1(w, (tap * int32(C) + c) * int32(K) + k0 + col))
    cuda.syncthreads()
    for i in unroll(PASSES):
        k = int32(k0 + row + int32(i * ROWS))
        if k < int32(K) and c0 + col < int32(C):
            st1(v, (place * int32(K) + k) * int32(C) + c0 + col, ld1(square, col * int32(SIDE + 1) + row + int32(i * ROWS)))


def clear(out, count):
    """out[i] = 0 for i < count. Grid count / THREADS."""
    i = int32(int32(cuda.blockIdx.x) * int32(THREADS) + int32(cuda.threadIdx.x))
    if i < count:
        st1(out, i, float32(0))


@dataclass(frozen=True)
class Phase:
    """One convolution of dy: its geometry, where its filters begin in v, and which pixels of dx it writes."""

    geometry: Geometry
    w_first: int
    spread: Spread


@functools.cache
def phases(forward: Geometry) -> tuple[Phase, ...]:
    """The convolutions that together give dx, for the geometry of the forward convolution."""
    g, found, first = forward, [], 0
    for r0 in range(min(g.stride_h, g.R)):
        for s0 in range(min(g.stride_w, g.S)):
            R, h0, P, top = _phase(r0, g.R, g.H, g.stride_h, g.pad_top)
            S, w0, Q, left = _phase(s0, g.S, g.W, g.stride_w, g.pad_left)
            if P > 0 and Q > 0:
                spread = Spread(g.H, g.W, g.stride_h, g.stride_w, h0, w0) if g.stride_h * g.stride_w > 1 else NOT_SPREAD
                found.append(Phase(Geometry(g.P, g.Q, g.K, R, S, g.C, P, Q, 1, 1, top, left), first, spread))
            first += R * S * g.K * g.C
    return tuple(found)


def _phase(r0, R, H, stride, pad) -> tuple[int, int, int, int]:
    """(taps, first row, rows, pad) of one phase along one axis."""
    taps, h0 = -(-(R - r0) // stride), (r0 - pad) % stride
    return taps, h0, -(-(H - h0) // stride), taps - 1 - (h0 + pad - r0) // stride


def covers(forward: Geometry) -> bool:
    """Whether every pixel of dx belongs to a phase that has taps."""
    return forward.stride_h <= forward.R and forward.stride_w <= forward.S


@functools.cache
def turn_spec(g: Geometry, side: int, rows: int) -> KernelSpec:
    """The kernel that turns the filters of all phases: squares of `side`, `rows` of them at a time."""
    name = f"turn_filters_{g.R}x{g.S}x{g.C}x{g.K}_stride_{g.stride_h}x{g.stride_w}"
    function = specialize(turn_filters, name, R=g.R, S=g.S, C=g.C, K=g.K, stride_h=g.stride_h, stride_w=g.stride_w, SIDE=side,
                          ROWS=rows, PASSES=side // rows, SQUARE=side * (side + 1))
    return KernelSpec(function, TURN_SIGNATURE, side * rows)


def turn_grid(g: Geometry, side: int) -> tuple[int, int, int]:
    """Squares along K and along C, and taps."""
    return -(-g.K // side), -(-g.C // side), g.R * g.S


@functools.cache
def clear_spec(threads: int) -> KernelSpec:
    """The kernel that writes zeros."""
    return KernelSpec(specialize(clear, THREADS=threads), CLEAR_SIGNATURE, threads)
