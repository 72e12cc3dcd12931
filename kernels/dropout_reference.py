"""Dropout (Srivastava et al. 2014, in the inverted form), its mask drawn by a counter-based generator.

    y[n,e]  = x[n,e] mask[n,e] / (1 - rate)          dx = dy mask / (1 - rate)
    mask[n,e] = 1 if word >= floor(rate 2^32) else 0
    word = word e mod 4 of Philox4x32-10 of
           counter (e div 4, samples[n], epoch, stream) and key (seed mod 2^32, seed div 2^32)

x, y, mask (N,E), mask uint8; samples (N,) int64, the index of each image in its data set, of which the low 32 bits
count; dy, mask, dx of any one shape. The mask belongs to the image and not to its place in a batch: batches, shards
and a resumed run can be cut anywhere and draw the same bits, and so do all columns.
"""
import numpy as np

from .table import reference_kernel

WORD = 0xFFFFFFFF                               # 32 ones: the low word of a number, and the highest word
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57            # Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as
KEY_STEPS = 0x9E3779B9, 0xBB67AE85              # 1, 2, 3. SC 2011, section 4; golden ratio and sqrt(3) - 1
ROUNDS = 10


@reference_kernel
def dropout_forward(x, samples, y, mask, seed, stream, epoch, rate):
    """x (N,E), samples (N,) int64 -> y (N,E), mask (N,E) uint8."""
    elements = x.shape[1]
    blocks = np.arange((elements + 3) // 4)                                 # four words each
    words = philox4x32((blocks, samples[:, None], epoch, stream), (seed & WORD, seed >> 32))
    words = np.stack(words, axis=-1).reshape(len(x), 4 * len(blocks))[:, :elements]   # 4 x (N,blocks) -> (N,E)
    mask[...] = words >= int(rate * 2**32)
    y[...] = x * mask / (1 - rate)


@reference_kernel
def dropout_backward(dy, mask, dx, rate):
    """dy, mask -> dx."""
    dx[...] = dy * mask / (1 - rate)


def philox4x32(counter, key):
    """Philox4x32-10: four integers and two keys -> four pseudorandom 32-bit words, a bijection for each key.

    counter: four integers or integer arrays that broadcast, of which the low 32 bits count.  key: two 32-bit integers.
    Returns a list of four uint64 arrays of the common shape, their values below 2^32.
    """
    c = [np.asarray(part, np.int64).astype(np.uint64) & np.uint64(WORD) for part in np.broadcast_arrays(*counter)]
    for i in range(ROUNDS):
        key_0, key_1 = ((k + i * step) & WORD for k, step in zip(key, KEY_STEPS, strict=True))
        product_0, product_1 = c[0] * np.uint64(MULTIPLIERS[0]), c[2] * np.uint64(MULTIPLIERS[1])       # 32 x 32 -> 64
        high_0, high_1 = product_0 >> np.uint64(32), product_1 >> np.uint64(32)
        c = [high_1 ^ c[1] ^ np.uint64(key_0), product_1 & np.uint64(WORD),
             high_0 ^ c[3] ^ np.uint64(key_1), product_0 & np.uint64(WORD)]
    return c
