"""Dropout on the GPU; the mask is a function of (seed, stream, epoch, sample, element), the same bits as in every column.

    y = x mask / (1 - rate)          dx = dy mask / (1 - rate)                                Srivastava et al. 2014
    mask[n,e] = 1 where word e mod 4 of Philox4x32-10 at counter (e div 4, samples[n], epoch, stream), key seed, is at least
    floor(rate 2^32)                                     Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3

x, y, mask (N,E), mask uint8; samples (N,) int64, of which the low 32 bits count. A thread draws the four words of a block
and masks their four elements.
"""
import functools

import numpy as np

from .cuda_support import blocks
from .cuda_support._compat import cuda, device, float32, int32, uint8, uint32, uint64
from .cuda_support.elementwise import elementwise
from .cuda_support.intrinsics import divide, ld1, ldv4, st1, stv4
from .cuda_support.kernel import cuda_kernel
from .cuda_support.launch import Launch
from .cuda_support.spec import KernelSpec

LOW = 0xFFFFFFFF


@device
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Ten rounds on a counter of four 32-bit words, all held in uint64: the four words of randomness."""
    low, half = uint64(LOW), uint64(32)
    for _ in range(10):
        p0, p1 = uint64(0xD2511F53) * c0, uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ k0, p1 & low, (p0 >> half) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + uint64(0x9E3779B9)) & low, (k1 + uint64(0xBB67AE85)) & low
    return c0, c1, c2, c3


def dropout_blocks(x, samples, y, mask, seed_low, seed_high, epoch, stream, threshold, keep, N, E):
    """Grid over the blocks of four elements of all images."""
    of_image = int32((E + int32(3)) >> int32(2))
    thread = int32(cuda.blockIdx.x) * int32(cuda.blockDim.x) + int32(cuda.threadIdx.x)
    n = divide(thread, of_image)
    if n < N:
        block = int32(thread - n * of_image)
        sample = uint64(ld1(samples, n)) & uint64(LOW)
        w0, w1, w2, w3 = philox4x32(uint64(block), sample, uint64(epoch), uint64(stream), uint64(seed_low), uint64(seed_high))
        least = uint64(threshold)
        m0, m1, m2, m3 = uint8(w0 >= least), uint8(w1 >= least), uint8(w2 >= least), uint8(w3 >= least)
        first, i = int32(block * int32(4)), int32(n * E + block * int32(4))
        if (E & int32(3)) == int32(0):                                        # every image starts at a multiple of 4
            x0, x1, x2, x3 = ldv4(x, i)
            stv4(mask, i, m0, m1, m2, m3)
            stv4(y, i, _masked(x0, m0, keep), _masked(x1, m1, keep), _masked(x2, m2, keep), _masked(x3, m3, keep))
        else:
            _masked_one(x, mask, y, i, m0, keep)
            if first + int32(1) < E:
                _masked_one(x, mask, y, i + int32(1), m1, keep)
            if first + int32(2) < E:
                _masked_one(x, mask, y, i + int32(2), m2, keep)
            if first + int32(3) < E:
                _masked_one(x, mask, y, i + int32(3), m3, keep)


@device
def _masked(x, mask, keep):
    """x mask keep: a NaN that is dropped stays a NaN."""
    return x * (float32(mask) * keep)


@device
def _masked_one(x, mask, y, i, m, keep):
    st1(mask, i, m)
    st1(y, i, _masked(ld1(x, i), m, keep))


@functools.cache
def _spec(block):
    arrays = "float32[::1], int64[::1], float32[::1], uint8[::1]"
    return KernelSpec(dropout_blocks, f"void({arrays}, {', '.join([uint32.name] * 5)}, float32, int32, int32)", block)


@cuda_kernel
def dropout_forward(x, samples, y, mask, seed, stream, epoch, rate):
    """The mask of each image, and the elements it keeps, scaled so that their expectation stays."""
    (N, E), spec = x.shape, _spec(blocks.ELEMENTS)
    words = map(np.uint32, (seed & LOW, seed >> 32, epoch, stream, int(rate * 2**32)))
    return [Launch(spec, (-(-N * ((E + 3) // 4) // spec.block),), x, samples, y, mask, *words, np.float32(1 / (1 - rate)),
                   np.int32(N), np.int32(E))]


def _gradient(dy, mask, keep):
    return dy * (float32(mask) * keep)


@cuda_kernel
def dropout_backward(dy, mask, dx, rate):
    """dx = dy mask / (1 - rate)."""
    return elementwise("dropout_backward", _gradient, (dy, mask, dx), (1 / (1 - rate),))
