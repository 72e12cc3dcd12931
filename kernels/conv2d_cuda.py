"""Convolution on the GPU: which kernels a call runs, with which tiles. See conv2d_reference.py for the formulas.

    forward, relu_forward   conv2d_forward_cuda.py, or of a picture with few taps conv2d_first_cuda.py
    backward_input          conv2d_input_cuda.py: the filters turned, then forward on dy, once for each phase of the stride
    backward_weight         conv2d_weight_cuda.py: parts of dw and of db, then the sum of each

The functions below without `conv2d_` serve the dense layers as well, and let a test name its own tiles. They return the
launches. Every sum has one order, which follows from the shapes: the same call gives the same bits. In y and dx it does not
depend on the number of images either, nor on the tile.
"""
import numpy as np

from . import conv2d_first_cuda, conv2d_forward_cuda, conv2d_input_cuda, conv2d_weight_cuda
from .cuda_support import tiles
from .cuda_support.geometry import Geometry
from .cuda_support.kernel import cuda_kernel
from .cuda_support.launch import Launch, scratch


@cuda_kernel
def conv2d_forward(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    """x (N,H,W,C), w (R,S,C,K), b (K,) -> y (N,P,Q,K)."""
    return forward(x, w, b, y, Geometry.of(x.shape, w.shape, y.shape, stride_h, stride_w, pad_top, pad_left))


@cuda_kernel
def conv2d_relu_forward(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    """x (N,H,W,C), w (R,S,C,K), b (K,) -> y (N,P,Q,K), ReLU applied."""
    return forward(x, w, b, y, Geometry.of(x.shape, w.shape, y.shape, stride_h, stride_w, pad_top, pad_left), relu=True)


@cuda_kernel
def conv2d_backward_input(dy, w, dx, stride_h, stride_w, pad_top, pad_left):
    """dy (N,P,Q,K), w (R,S,C,K) -> dx (N,H,W,C)."""
    return backward_input(dy, w, dx, Geometry.of(dx.shape, w.shape, dy.shape, stride_h, stride_w, pad_top, pad_left))


@cuda_kernel
def conv2d_backward_weight(x, dy, dw, db, stride_h, stride_w, pad_top, pad_left):
    """x (N,H,W,C), dy (N,P,Q,K) -> dw (R,S,C,K), db (K,)."""
    return backward_weight(x, dy, dw, db, Geometry.of(x.shape, dw.shape, dy.shape, stride_h, stride_w, pad_top, pad_left))


def forward(x, w, b, y, geometry: Geometry, relu=False, tile=None) -> list[Launch]:
    """y of one convolution."""
    pixels = len(x) * geometry.places
    if geometry.C < 4 and geometry.taps <= tiles.FIRST_TAPS:
        tile = tile or tiles.first_tile(geometry.taps, geometry.K)
        spec = conv2d_first_cuda.spec(geometry, tile, relu)
    else:
        tile = tile or tiles.forward_tile(pixels, geometry.K)
        spec = conv2d_forward_cuda.spec(geometry, tile, True, relu)
    return [Launch(spec, conv2d_forward_cuda.grid(geometry, len(x), tile), x, w, b, y, np.int32(pixels))]


def backward_input(dy, w, dx, geometry: Geometry, tile=None, turn=tiles.TURN, threads=tiles.THREADS) -> list[Launch]:
    """dx of one convolution; geometry is that of its forward pass."""
    side, rows = turn
    turned = scratch(dx, w.size)
    launches = [Launch(conv2d_input_cuda.turn_spec(geometry, side, rows), conv2d_input_cuda.turn_grid(geometry, side), w, turned)]
    if not conv2d_input_cuda.covers(geometry):
        launches.append(Launch(conv2d_input_cuda.clear_spec(threads), (-(-dx.size // threads),), dx, np.int32(dx.size)))
    for phase in conv2d_input_cuda.phases(geometry):
        pixels = len(dx) * phase.geometry.places
        of_phase = tile or tiles.forward_tile(pixels, phase.geometry.K)
        spec = conv2d_forward_cuda.spec(phase.geometry, of_phase, False, False, phase.w_first, phase.spread)
        grid = conv2d_forward_cuda.grid(phase.geometry, len(dx), of_phase)
        launches.append(Launch(spec, grid, dy, turned, turned, dx, np.int32(pixels)))       # the bias is not looked at
    return launches


def backward_weight(x, dy, dw, db, geometry: Geometry, tile=None, chunk=None, threads=tiles.THREADS) -> list[Launch]:
    """dw and db of one convolution; `chunk` is how many places make a part of a sum."""
    pixels, taps, K = len(x) * geometry.places, geometry.taps, geometry.K
    tile = tile or tiles.weight_tile(taps, K)
    places = chunk or tiles.weight_part(tile, pixels, taps, K)
    parts = max(1, -(-pixels // places))
    grid = -(-taps // tile.BM), -(-K // tile.BN), parts
    out, add = _summed(dw, parts, threads)
    launches = [Launch(conv2d_weight_cuda.spec(geometry, tile), grid, x, dy, out, np.int32(pixels), np.int32(places)), *add]

    places = chunk or tiles.sums_part(threads, pixels, K)
    parts = max(1, -(-pixels // places))
    grid = -(-K // min(K, threads)), parts
    out, add = _summed(db, parts, threads)
    return [*launches, Launch(conv2d_weight_cuda.sums_spec(K, threads), grid, dy, out, np.int32(pixels), np.int32(places)), *add]


def _summed(out, parts: int, threads: int):
    """Where the parts of `out` go, and the launch that adds them up; a single part is the output."""
    if parts == 1:
        return out, []
    several = scratch(out, parts * out.size)
    spec = conv2d_weight_cuda.add_spec(out.size, threads)
    return several, [Launch(spec, (-(-out.size // threads),), several, out, np.int32(parts))]
