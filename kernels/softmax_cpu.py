"""Softmax over the last axis, one row at a time, 16 classes at once.

    y[k] = e^(x[k] - max x) / sum over j of e^(x[j] - max x)        dx[k] = y[k] (dy[k] - sum over j of dy[j] y[j])
Subtracting the maximum changes nothing in exact arithmetic and keeps e^x in range.
"""
import numpy as np

from .jit import cpu_kernel, helper
from .simd import LANES, below, fma, load_tail, max_lanes, splat, store_tail, sum_lanes, where
from .simd_math import exp


@helper
def row_maximum(x, i, K):
    """The largest of x[i : i + K], or NaN where there is one."""
    largest = np.float32(-np.inf)
    for k in range(0, K, LANES):
        v = where(below(K - k), load_tail(x, i + k, K - k), largest)
        top = max_lanes(v)
        if not top <= largest:
            largest = top
        if largest != largest:
            break
    return largest


@helper
def row_sum_of_exp(x, i, K, largest):
    total = splat(0.0)
    for k in range(0, K, LANES):
        total = total + where(below(K - k), exp(load_tail(x, i + k, K - k) - largest), 0.0)
    return sum_lanes(total)


@cpu_kernel
def softmax_forward(x, y):
    """Each row of x (N, K) turned into probabilities."""
    N, K = x.shape
    for n in range(N):
        i = n * K
        largest = row_maximum(x, i, K)
        total = row_sum_of_exp(x, i, K, largest)
        for k in range(0, K, LANES):
            store_tail(y, i + k, exp(load_tail(x, i + k, K - k) - largest) / total, K - k)


@cpu_kernel
def softmax_backward(dy, y, dx):
    """dx = y (dy - <dy, y>), row by row."""
    N, K = y.shape
    for n in range(N):
        i, product = n * K, splat(0.0)
        for k in range(0, K, LANES):
            product = fma(load_tail(dy, i + k, K - k), load_tail(y, i + k, K - k), product)
        mean = sum_lanes(product)
        for k in range(0, K, LANES):
            store_tail(dx, i + k, load_tail(y, i + k, K - k) * (load_tail(dy, i + k, K - k) - mean), K - k)
