"""Maps (..., C) as flat memory, for what is done channel by channel whatever the number of channels.

A `row` here is the smallest number of elements that both the channels and the 16 lanes divide: 64 of 64 channels, 48 of 6
channels (8 pixels), 80 of 10. Element i belongs to channel i % C, and since a row is a whole number of pixels, vector k of every
row meets the same channels: constants of the channels are repeated until they fill a row once, and no vector needs a mask
but the last of the array.
"""
import numpy as np

from .jit import helper, inlined
from .simd import LANES, splat, store, store_tail

BLOCK = 1 << 13             # elements of a block of rows, 32 KiB: sums of blocks are added in float64


@helper
def row_length(C):
    length = C
    while length % LANES:
        length += C
    return length


@helper
def repeated(values, length):
    """The channels' values, again and again."""
    out = np.empty(length, np.float32)
    for i in range(length):
        out[i] = values[i % values.size]
    return out


@inlined
def map_rows(f, inputs, constants, y, length):
    """y[i : i + 16] = f(inputs, i, constants, i % length, lanes), where constants hold rows; four rows share their loads."""
    rows = y.size // length
    four = rows - rows % 4
    for first in range(0, four * length, 4 * length):
        for k in range(0, length, LANES):
            i = first + k
            a, b = f(inputs, i, constants, k, LANES), f(inputs, i + length, constants, k, LANES)
            i += 2 * length
            c, d = f(inputs, i, constants, k, LANES), f(inputs, i + length, constants, k, LANES)
            store(y, i - 2 * length, a)
            store(y, i - length, b)
            store(y, i, c)
            store(y, i + length, d)
    k = 0
    for i in range(four * length, y.size, LANES):
        store_tail(y, i, f(inputs, i, constants, k, y.size - i), y.size - i)
        k = (k + LANES) % length


@inlined
def column_sums(f, inputs, i, constants, k, rows, length):
    """Two sums over rows of vector k, the first of which starts at element i: f(inputs, i, constants, k, lanes, s, t) adds
    one row's part to s and t. Two chains of additions side by side hide the time that one addition takes."""
    s, t, u, v = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    for _ in range(rows // 2):
        s, t = f(inputs, i, constants, k, LANES, s, t)
        u, v = f(inputs, i + length, constants, k, LANES, u, v)
        i += 2 * length
    if rows % 2:
        s, t = f(inputs, i, constants, k, LANES, s, t)
    return s + u, t + v


@helper
def widen(a, b, k, lanes, s, t):
    """s[k + lane] += a, t[k + lane] += b in float64, for the lanes below `lanes`."""
    narrow = np.empty(2 * LANES, np.float32)
    store(narrow, 0, a)
    store(narrow, LANES, b)
    for lane in range(min(lanes, LANES)):
        s[k + lane] += narrow[lane]
        t[k + lane] += narrow[LANES + lane]


@inlined
def add_up(f, inputs, first, size, constants, length, s, t):
    """s[k], t[k] = the two sums of f over every element k of a row, in the elements first .. first + size."""
    rows, step = size // length, max(16, BLOCK // length)
    s[:] = 0
    t[:] = 0
    for row in range(0, rows, step):
        for k in range(0, length, LANES):
            a, b = column_sums(f, inputs, first + row * length + k, constants, k, min(step, rows - row), length)
            widen(a, b, k, LANES, s, t)
    for k in range(0, size - rows * length, LANES):
        rest = size - rows * length - k
        a, b = f(inputs, first + size - rest, constants, k, rest, splat(0.0), splat(0.0))
        widen(a, b, k, rest, s, t)
