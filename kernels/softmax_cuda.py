"""Softmax over the last axis on the GPU, a warp a row.

    y[n,k] = e^(x[n,k] - m[n]) / sum over j of e^(x[n,j] - m[n]),  m[n] = max over j of x[n,j]
    dx[n,k] = y[n,k] (dy[n,k] - sum over j of dy[n,j] y[n,j])

x, y, dx, dy (N,K). Subtracting the maximum changes nothing in exact arithmetic and keeps e^x in range. A row is read up to
three times, the last two from the cache.
"""
import math

from .cuda_support._compat import device, float32, int32
from .cuda_support.functions import exp
from .cuda_support.intrinsics import ld1, st1
from .cuda_support.kernel import cuda_kernel
from .cuda_support.rows import by_rows, row_and_lane
from .cuda_support.warp import larger, warp_maximum, warp_sum

LOWEST = -math.inf


@device
def row_maximum(x, i, lane, K):
    """The largest of x[i : i + K], or NaN where there is one; of the warp's threads each knows it."""
    largest = float32(LOWEST)
    for k in range(lane, K, int32(32)):
        largest = larger(largest, ld1(x, i + k))
    return warp_maximum(largest)


@device
def row_sum_of_exp(x, i, lane, K, largest):
    """The sum of e^(x[i + k] - largest)."""
    total = float32(0)
    for k in range(lane, K, int32(32)):
        total += exp(ld1(x, i + k) - largest)
    return warp_sum(total)


def softmax_rows(x, y, N, K):
    n, lane = row_and_lane()
    if n < N:                                                               # alike in all threads of a warp
        i = int32(n * K)
        largest = row_maximum(x, i, lane, K)
        total = row_sum_of_exp(x, i, lane, K, largest)
        for k in range(lane, K, int32(32)):
            st1(y, i + k, exp(ld1(x, i + k) - largest) / total)


@cuda_kernel
def softmax_forward(x, y):
    """Each row of x turned into probabilities."""
    return by_rows(softmax_rows, "float32[::1], float32[::1]", *x.shape, x, y)


def softmax_gradient_rows(dy, y, dx, N, K):
    n, lane = row_and_lane()
    if n < N:
        i = int32(n * K)
        product = float32(0)
        for k in range(lane, K, int32(32)):
            product += ld1(dy, i + k) * ld1(y, i + k)
        mean = warp_sum(product)
        for k in range(lane, K, int32(32)):
            st1(dx, i + k, ld1(y, i + k) * (ld1(dy, i + k) - mean))


@cuda_kernel
def softmax_backward(dy, y, dx):
    """dx = y (dy - <dy, y>), row by row."""
    return by_rows(softmax_gradient_rows, "float32[::1], float32[::1], float32[::1]", *y.shape, dy, y, dx)
