"""Maps (..., C) as flat memory, for what is done channel by channel whatever the number of channels.

A `row` here is the smallest number of elements that both the channels and the 16 lanes divide: 64 of 64 channels, 48 of 6
channels (8 pixels), 80 of 10. Element i belongs to channel i % C, and since a row is a whole number of pixels, vector k of
every row meets the same channels: constants of the channels are repeated until they fill a row, and no vector needs a mask
but the last of the array.
"""
import numpy as np

from .jit import helper, inlined
from .simd import LANES, load, splat, store, store_tail

GROUP = 8                   # rows that are added before their sum goes back to memory
BLOCK = 1 << 13             # elements of a block of rows, 32 KiB: sums over blocks are made in float64


@helper
def row_length(C):
    length = C
    while length % LANES:
        length += C
    return length


@helper
def block_rows(length):
    return max(64, BLOCK // length)


@helper
def repeat(values, table, at):
    """table[at] = the channels' values, again and again."""
    c = 0
    for k in range(table.shape[1]):
        table[at, k] = values[c]
        c += 1
        if c == values.size:
            c = 0


@inlined
def map_rows(f, inputs, table, y, length):
    """y = f(inputs, i, table, k, lanes) at each element i, vector k of its row; four rows share what f loads of the table."""
    four = y.size // (4 * length) * 4 * length
    for first in range(0, four, 4 * length):
        for k in range(0, length, LANES):
            i = first + k
            a, b = f(inputs, i, table, k, LANES), f(inputs, i + length, table, k, LANES)
            i += 2 * length
            c, d = f(inputs, i, table, k, LANES), f(inputs, i + length, table, k, LANES)
            store(y, i - 2 * length, a)
            store(y, i - length, b)
            store(y, i, c)
            store(y, i + length, d)
    k = 0
    for i in range(four, y.size, LANES):
        store_tail(y, i, f(inputs, i, table, k, y.size - i), y.size - i)
        k += LANES
        if k == length:
            k = 0


@inlined
def _add_group(f, inputs, i, table, rows, length, s, t):
    for k in range(0, length, LANES):
        j, a, b = i + k, load(s, k), load(t, k)
        for _ in range(rows):
            a, b = f(inputs, j, table, k, LANES, a, b)
            j += length
        store(s, k, a)
        store(t, k, b)


@inlined
def add_rows(f, inputs, i, table, rows, length, s, t):
    """s[k], t[k] = two sums over `rows` rows from element i on; f(inputs, j, table, k, lanes, a, b) adds to both."""
    for k in range(0, length, LANES):
        store(s, k, splat(0.0))
        store(t, k, splat(0.0))
    for _ in range(rows // GROUP):
        _add_group(f, inputs, i, table, GROUP, length, s, t)            # a number the compiler knows: twice as fast
        i += GROUP * length
    for _ in range(rows % GROUP):
        _add_group(f, inputs, i, table, 1, length, s, t)
        i += length


@inlined
def add_channels(f, inputs, first, size, table, length, sums):
    """sums (2, length), float64: the two sums of f over every element k of a row, in the elements first .. first + size."""
    rows, step = size // length, block_rows(length)
    s, t = np.empty(length, np.float32), np.empty(length, np.float32)
    for k in range(length):
        sums[0, k] = sums[1, k] = 0.0
    for row in range(0, rows, step):
        add_rows(f, inputs, first + row * length, table, min(step, rows - row), length, s, t)
        for k in range(length):
            sums[0, k] += s[k]
            sums[1, k] += t[k]
    rest = size - rows * length
    for k in range(0, rest, LANES):
        a, b = f(inputs, first + rows * length + k, table, k, rest - k, splat(0.0), splat(0.0))
        store(s, k, a)
        store(t, k, b)
    for k in range(rest):
        sums[0, k] += s[k]
        sums[1, k] += t[k]


@helper
def of_channel(row, c, C):
    """The sum of the elements of a row that belong to channel c."""
    total = 0.0
    for k in range(c, row.size, C):
        total += row[k]
    return total
