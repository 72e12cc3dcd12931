"""Losses per image, and their gradients by the logits, on the GPU; a warp a row.

Softmax cross-entropy with label smoothing e and class weights c, t = labels[n], of x (N,K), labels (N,), c (K,):

    loss[n] = sum over k of q[k] (log of the sum over j of e^(x[j] - m) - (x[k] - m)),   m = max over j of x[j]
    dx[n,k] = scale (p[k] sum over j of q[j] - q[k]),                                     p = softmax(x)
    q[k]    = (1 - e) c[t] [k = t] + (e / K) c[k]

Mean squared error of x, target (N,K):  loss[n] = sum over k of (x - target)^2 / K,   dx = scale 2 (x - target) / K

A label outside 0 .. K - 1 makes its row NaN: on the GPU nobody has looked at it before.
"""
import math

import numpy as np

from .cuda_support._compat import device, float32, int32, int64
from .cuda_support.elementwise import elementwise
from .cuda_support.functions import exp, log
from .cuda_support.intrinsics import ld1, st1
from .cuda_support.kernel import cuda_kernel
from .cuda_support.rows import by_rows, row_and_lane
from .cuda_support.warp import warp_sum
from .softmax_cuda import row_maximum, row_sum_of_exp

NAN = math.nan


@device
def _label(labels, n, K):
    """The label of row n, or -1 where that is none."""
    t = ld1(labels, n)
    return int32(t) if int64(0) <= t and t < int64(K) else int32(-1)


def cross_entropy_rows(x, labels, weights, loss, sharp, spread, N, K):
    n, lane = row_and_lane()
    if n < N:                                                               # alike in all threads of a warp
        i = int32(n * K)
        largest = row_maximum(x, i, lane, K)
        log_total = log(row_sum_of_exp(x, i, lane, K, largest))
        smooth = float32(0)
        if spread != float32(0):                    # else a logit of -inf would make 0 * inf = NaN
            for k in range(lane, K, int32(32)):
                smooth += ld1(weights, k) * (log_total - (ld1(x, i + k) - largest))
        smooth = warp_sum(smooth)
        if lane == int32(0):
            t = _label(labels, n, K)
            value = float32(NAN)
            if t >= int32(0):
                value = sharp * ld1(weights, t) * (log_total - (ld1(x, i + t) - largest)) + spread * smooth
            st1(loss, n, value)


@cuda_kernel
def softmax_cross_entropy_forward(x, labels, weights, loss, label_smoothing):
    """loss[n] = - sum over k of q[k] log p[k]."""
    sharp, spread = np.float32(1 - label_smoothing), np.float32(label_smoothing / x.shape[1])
    return by_rows(cross_entropy_rows, "float32[::1], int64[::1], float32[::1], float32[::1], float32, float32", *x.shape,
                   x, labels, weights, loss, sharp, spread)


def cross_entropy_gradient_rows(x, labels, weights, dx, sharp, spread, scale, N, K):
    n, lane = row_and_lane()
    if n < N:
        i = int32(n * K)
        largest = row_maximum(x, i, lane, K)
        total = row_sum_of_exp(x, i, lane, K, largest)
        smooth = float32(0)
        for k in range(lane, K, int32(32)):
            smooth += ld1(weights, k)
        t = _label(labels, n, K)
        own = float32(NAN)
        if t >= int32(0):
            own = sharp * ld1(weights, t)
        mass = warp_sum(smooth) * spread + own
        for k in range(lane, K, int32(32)):
            q = ld1(weights, k) * spread
            if k == t:
                q += own
            st1(dx, i + k, scale * (exp(ld1(x, i + k) - largest) / total * mass - q))


@cuda_kernel
def softmax_cross_entropy_backward(x, labels, weights, dx, label_smoothing, scale):
    """dx[n,k] = scale (p[k] sum over j of q[j] - q[k])."""
    sharp, spread = np.float32(1 - label_smoothing), np.float32(label_smoothing / x.shape[1])
    return by_rows(cross_entropy_gradient_rows,
                   "float32[::1], int64[::1], float32[::1], float32[::1], float32, float32, float32", *x.shape,
                   x, labels, weights, dx, sharp, spread, np.float32(scale))


def squared_error_rows(x, target, loss, N, K):
    n, lane = row_and_lane()
    if n < N:
        i = int32(n * K)
        total = float32(0)
        for k in range(lane, K, int32(32)):
            difference = ld1(x, i + k) - ld1(target, i + k)
            total += difference * difference
        total = warp_sum(total)
        if lane == int32(0):
            st1(loss, n, total / float32(K))


@cuda_kernel
def mean_squared_error_forward(x, target, loss):
    """loss[n] = mean over k of (x - target)^2."""
    return by_rows(squared_error_rows, "float32[::1], float32[::1], float32[::1]", *x.shape, x, target, loss)


def _difference(x, target, factor):
    return (x - target) * factor


@cuda_kernel
def mean_squared_error_backward(x, target, dx, scale):
    """dx = scale 2 (x - target) / K."""
    return elementwise("mean_squared_error_backward", _difference, (x, target, dx), (2 * scale / x.shape[1],))
