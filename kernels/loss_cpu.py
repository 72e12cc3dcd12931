"""Losses per image, and their gradients by the logits.

Softmax cross-entropy with label smoothing e and class weights c, of the target distribution t[k] = (1 - e) [k = label] + e / K:
    loss  = - sum over k of c[k] t[k] log p[k],   p = softmax(x),   log p[k] = x[k] - max - log sum e^(x - max)
    dx[k] = scale (p[k] sum over j of c[j] t[j] - c[k] t[k])
The mean over a batch divides by the sum of c[label], as PyTorch does; that is the caller's, through `scale`.

Mean squared error: loss = sum over k of (x[k] - target[k])^2 / K,   dx[k] = scale 2 (x[k] - target[k]) / K
"""
import numpy as np

from .jit import cpu_kernel
from .simd import LANES, below, fma, load_tail, splat, store_tail, sum_lanes, where
from .simd_math import exp, log
from .softmax_cpu import row_maximum, row_sum_of_exp


@cpu_kernel
def softmax_cross_entropy_forward(x, labels, weights, loss, label_smoothing):
    """loss[n] = - sum over k of c[k] t[k] log p[k]."""
    N, K = x.shape
    spread, sharp = np.float32(label_smoothing / K), np.float32(1 - label_smoothing)
    for n in range(N):
        i = n * K
        largest = row_maximum(x, i, K)
        log_total = splat(row_sum_of_exp(x, i, K, largest))
        log_total = log(log_total)
        smooth = splat(0.0)
        if label_smoothing != 0:
            for k in range(0, K, LANES):
                surprise = where(below(K - k), log_total - (load_tail(x, i + k, K - k) - largest), 0.0)
                smooth = fma(load_tail(weights, k, K - k), surprise, smooth)
        surprise = log_total - (x[n, labels[n]] - largest)
        value = surprise * (sharp * weights[labels[n]]) + splat(sum_lanes(smooth)) * spread
        store_tail(loss, n, value, 1)


@cpu_kernel
def softmax_cross_entropy_backward(x, labels, weights, dx, label_smoothing, scale):
    """dx[n, k] = scale (p[k] sum over j of c[j] t[j] - c[k] t[k])."""
    N, K = x.shape
    spread, sharp, factor = np.float32(label_smoothing / K), np.float32(1 - label_smoothing), np.float32(scale)
    smooth = splat(0.0)
    for k in range(0, K, LANES):
        smooth = smooth + load_tail(weights, k, K - k)
    all_weights = sum_lanes(smooth) * spread
    for n in range(N):
        i = n * K
        largest = row_maximum(x, i, K)
        total = row_sum_of_exp(x, i, K, largest)
        mass = all_weights + sharp * weights[labels[n]]
        for k in range(0, K, LANES):
            p = exp(load_tail(x, i + k, K - k) - largest) / total
            store_tail(dx, i + k, (p * mass - load_tail(weights, k, K - k) * spread) * factor, K - k)
        dx[n, labels[n]] -= factor * (sharp * weights[labels[n]])


@cpu_kernel
def mean_squared_error_forward(x, target, loss):
    """loss[n] = mean over k of (x - target)^2."""
    N, K = x.shape
    for n in range(N):
        total = splat(0.0)
        for k in range(0, K, LANES):
            difference = load_tail(x, n * K + k, K - k) - load_tail(target, n * K + k, K - k)
            total = fma(difference, difference, total)
        loss[n] = sum_lanes(total) / np.float32(K)


@cpu_kernel
def mean_squared_error_backward(x, target, dx, scale):
    """dx = scale 2 (x - target) / K."""
    factor = np.float32(2 * scale / x.shape[1])
    for i in range(0, x.size, LANES):
        rest = x.size - i
        store_tail(dx, i, (load_tail(x, i, rest) - load_tail(target, i, rest)) * factor, rest)
