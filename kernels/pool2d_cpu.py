"""Pooling: the maximum or the mean of each window, per channel; 16 channels at a time.

    max      y[n, p, q, c] = max over r, s of x[n, p * stride_h + r - pad_top, q * stride_w + s - pad_left, c]
             argmax = r * S + s of the first maximum, or of the first NaN; pads are -inf and never win
             dx = dy where the argmax points, summed where windows overlap
    average  y = sum over the window / (S_h S_w), pads count as zeros;  dx = dy / (S_h S_w) to every tap
    global   y[n, c] = mean over h, w;  dx = dy / (H W)
The backward pass of max compares each tap with the stored argmax instead of following it, so no value in argmax, however
wrong, leads outside dx.
"""
import numpy as np

from .frame_cpu import zero_run
from .jit import cpu_kernel, helper
from .simd import (
    LANES,
    both,
    either,
    equal,
    invert,
    isnan,
    less,
    load_bytes,
    load_tail,
    splat,
    splat_int,
    store_bytes,
    store_tail,
    where,
)
from .sums_cpu import sum_rows


@helper
def taps(start, size, extent):
    """The taps of a window starting at `start` that lie inside 0 .. extent."""
    return max(0, -start), min(size, extent - start)


@cpu_kernel
def maxpool2d_forward(x, y, argmax, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """The largest value of each window, and which tap it was."""
    N, H, W, C = x.shape
    P, Q = y.shape[1:3]
    for n in range(N):
        for p in range(P):
            h = p * stride_h - pad_top
            r0, r1 = taps(h, size_h, H)
            for q in range(Q):
                w = q * stride_w - pad_left
                s0, s1 = taps(w, size_w, W)
                for c in range(0, C, LANES):
                    lanes = min(LANES, C - c)
                    best, tap = splat(-np.inf), splat_int(r0 * size_w + s0)
                    for r in range(r0, r1):
                        for s in range(s0, s1):
                            v = load_tail(x, ((n * H + h + r) * W + w + s) * C + c, lanes)
                            wins = either(less(best, v), both(isnan(v), invert(isnan(best))))
                            best, tap = where(wins, v, best), where(wins, splat_int(r * size_w + s), tap)
                    i = ((n * P + p) * Q + q) * C + c
                    store_tail(y, i, best, lanes)
                    store_bytes(argmax, i, tap, lanes)


@cpu_kernel
def maxpool2d_backward(dy, argmax, dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """Each window's gradient goes to the tap that won."""
    N, P, Q, C = dy.shape
    H, W = dx.shape[1:3]
    overlap = stride_h < size_h or stride_w < size_w
    if overlap or P * stride_h < H + pad_top or Q * stride_w < W + pad_left or stride_h > size_h or stride_w > size_w:
        zero_run(dx, 0, dx.size)                # else the windows write every element, and only once
    for n in range(N):
        for p in range(P):
            h = p * stride_h - pad_top
            r0, r1 = taps(h, size_h, H)
            for q in range(Q):
                w = q * stride_w - pad_left
                s0, s1 = taps(w, size_w, W)
                for c in range(0, C, LANES):
                    lanes, i = min(LANES, C - c), ((n * P + p) * Q + q) * C + c
                    gradient, tap = load_tail(dy, i, lanes), load_bytes(argmax, i, lanes)
                    for r in range(r0, r1):
                        for s in range(s0, s1):
                            j = ((n * H + h + r) * W + w + s) * C + c
                            share = where(equal(tap, splat_int(r * size_w + s)), gradient, 0.0)
                            if overlap:
                                share = share + load_tail(dx, j, lanes)
                            store_tail(dx, j, share, lanes)


@cpu_kernel
def avgpool2d_forward(x, y, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """The sum of each window over its area."""
    N, H, W, C = x.shape
    P, Q = y.shape[1:3]
    area = np.float32(size_h * size_w)
    for n in range(N):
        for p in range(P):
            h = p * stride_h - pad_top
            r0, r1 = taps(h, size_h, H)
            for q in range(Q):
                w = q * stride_w - pad_left
                s0, s1 = taps(w, size_w, W)
                for c in range(0, C, LANES):
                    lanes, total = min(LANES, C - c), splat(0.0)
                    for r in range(r0, r1):
                        for s in range(s0, s1):
                            total = total + load_tail(x, ((n * H + h + r) * W + w + s) * C + c, lanes)
                    store_tail(y, ((n * P + p) * Q + q) * C + c, total / area, lanes)


@cpu_kernel
def avgpool2d_backward(dy, dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """Each window's gradient is shared out to all its taps."""
    N, P, Q, C = dy.shape
    H, W = dx.shape[1:3]
    area = np.float32(size_h * size_w)
    zero_run(dx, 0, dx.size)
    for n in range(N):
        for p in range(P):
            h = p * stride_h - pad_top
            r0, r1 = taps(h, size_h, H)
            for q in range(Q):
                w = q * stride_w - pad_left
                s0, s1 = taps(w, size_w, W)
                for c in range(0, C, LANES):
                    lanes = min(LANES, C - c)
                    share = load_tail(dy, ((n * P + p) * Q + q) * C + c, lanes) / area
                    for r in range(r0, r1):
                        for s in range(s0, s1):
                            j = ((n * H + h + r) * W + w + s) * C + c
                            store_tail(dx, j, load_tail(dx, j, lanes) + share, lanes)


@cpu_kernel
def global_avgpool2d_forward(x, y):
    """y[n, c] = mean of x[n, :, :, c]."""
    N, H, W, C = x.shape
    area = np.float32(H * W)
    for n in range(N):
        total = y[n]
        sum_rows(x[n], H * W, C, total)
        for c in range(0, C, LANES):
            store_tail(total, c, load_tail(total, c, C - c) / area, C - c)


@cpu_kernel
def global_avgpool2d_backward(dy, dx):
    """dx[n, h, w, c] = dy[n, c] / (H W)."""
    N, H, W, C = dx.shape
    area = np.float32(H * W)
    for n in range(N):
        for c in range(0, C, LANES):
            lanes = min(LANES, C - c)
            share = load_tail(dy, n * C + c, lanes) / area
            for pixel in range(H * W):
                store_tail(dx, (n * H * W + pixel) * C + c, share, lanes)
