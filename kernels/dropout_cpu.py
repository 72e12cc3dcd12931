"""Dropout with a counter-based mask: which elements fall out depends on (seed, stream, epoch, sample, element) alone.

    y = x mask / (1 - rate);   dx = dy mask / (1 - rate)                                      Srivastava et al. 2014
    mask[n, e] = 1 where word e % 4 of Philox4x32-10 at counter (e // 4, sample, epoch, stream), key seed, is at least
    floor(rate 2^32)                                            Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3
"""
import numpy as np

from .jit import cpu_kernel, helper
from .simd import LANES, load, load_bytes, load_tail, store, store_tail, to_float

LOW = 0xFFFFFFFF


@helper
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Ten rounds on a counter of four 32-bit words, all held in uint64: the four words of randomness."""
    low = np.uint64(LOW)
    half = np.uint64(32)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ k0, p1 & low, (p0 >> half) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return c0, c1, c2, c3


@cpu_kernel
def dropout_forward(x, samples, y, mask, seed, stream, epoch, rate):
    """The mask of each image, and the elements it keeps, scaled so that their expectation stays."""
    N, E = x.shape
    low, half = np.uint64(LOW), np.uint64(32)
    threshold, keep = np.uint64(np.floor(rate * 4294967296.0)), np.float32(1 / (1 - rate))
    for n in range(N):
        for first in range(0, E, 4):
            words = philox4x32(np.uint64(first // 4) & low, np.uint64(samples[n]) & low, np.uint64(epoch), np.uint64(stream),
                               np.uint64(seed) & low, np.uint64(seed) >> half)
            for e in range(first, min(first + 4, E)):
                mask[n, e] = words[e - first] >= threshold
    _masked(x, mask, y, keep)


@cpu_kernel
def dropout_backward(dy, mask, dx, rate):
    """dx = dy mask / (1 - rate)."""
    _masked(dy, mask, dx, np.float32(1 / (1 - rate)))


@helper
def _masked(x, mask, y, keep):
    """y = x mask keep; a NaN that is dropped stays a NaN."""
    whole = x.size - x.size % LANES
    for i in range(0, whole, LANES):
        store(y, i, load(x, i) * (to_float(load_bytes(mask, i, LANES)) * keep))
    rest = x.size - whole
    store_tail(y, whole, load_tail(x, whole, rest) * (to_float(load_bytes(mask, whole, rest)) * keep), rest)
