"""Sums over the rows of a matrix, in blocks, so that the error of a sum of one sign stays small."""
from .jit import helper
from .simd import LANES, load_tail, splat, store_tail

CHAIN = 1 << 10             # terms summed in one run before they join the total


@helper
def sum_rows(a, rows, K, total):
    """total[k] = sum of a[row, k], in blocks of CHAIN rows."""
    for k in range(0, K, LANES):
        lanes, overall = min(LANES, K - k), splat(0.0)
        for first in range(0, rows, CHAIN):
            block = splat(0.0)
            for row in range(first, min(rows, first + CHAIN)):
                block = block + load_tail(a, row * K + k, lanes)
            overall = overall + block
        store_tail(total, k, overall, lanes)
