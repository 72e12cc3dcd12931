"""Pooling: the maximum or the mean of each window, per channel; 16 channels at a time.

    max      y[n, p, q, c] = max over r, s of x[n, p * stride_h + r - pad_top, q * stride_w + s - pad_left, c]
             argmax = r * S + s of the first maximum, or of the first NaN; pads never win
             dx[n, h, w, c] = sum of dy over the windows whose argmax names (h, w)
    average  y = sum over the window / (S_h S_w), pads count as zeros;  dx = sum of dy / (S_h S_w) over the windows on (h, w)
    global   y[n, c] = mean over h, w;  dx = dy / (H W)
Backward, each pixel collects from the windows that cover it, and compares argmax with the tap it is to them: every dx is
written once, and no value in argmax, however wrong, leads outside.

The usual pools, of windows side by side, write pixels in the order of memory, and the last 16 lanes of a pixel may spill
over into the next one, which is written afterwards: no vector is masked, whatever the number of channels, but where an
array ends. The loop over channels is one with that over pixels: for 6 channels, a loop inside cost more than the sums.
"""
import numpy as np

from .channels_cpu import add_channels, map_rows, of_channel, repeat, row_length
from .jit import cpu_kernel, helper, inlined
from .simd import (
    LANES,
    both,
    equal,
    invert,
    isnan,
    less_equal,
    load,
    load_bytes,
    load_tail,
    splat,
    splat_int,
    store_bytes,
    store_tail,
    where,
)


@helper
def taps(start, size, extent):
    """The taps of a window starting at `start` that lie inside 0 .. extent."""
    return max(0, -start), min(size, extent - start)


@inlined
def _takes(v, best):
    """Where v takes the place of best: it is larger, or NaN; but nothing takes the place of a NaN."""
    return both(invert(less_equal(v, best)), invert(isnan(best)))


@inlined
def _larger(a, i, b, j):
    """The larger of two candidates, values and taps; the first one where they are equal."""
    second = _takes(b, a)
    return where(second, b, a), where(second, j, i)


@inlined
def _put_maximum(x, j, row, C, tap, size_w, height, width, y, i, lanes, argmax):
    """y and argmax at i: the maximum of height x width pixels from x[j] on, the first of which is tap `tap`."""
    best, at = load_tail(x, j, lanes), splat_int(tap)
    for r in range(height):
        for s in range(width):
            best, at = _larger(best, at, load_tail(x, j + r * row + s * C, lanes), splat_int(tap + r * size_w + s))
    store_tail(y, i, best, lanes)
    store_bytes(argmax, i, at, lanes)


@inlined
def _put_mean(x, j, row, C, tap, size_w, height, width, y, i, lanes, area):
    total = splat(0.0)
    for r in range(height):
        for s in range(width):
            total = total + load_tail(x, j + r * row + s * C, lanes)
    store_tail(y, i, total / area, lanes)


@inlined
def _each_window(put, x, y, size_h, size_w, stride_h, stride_w, pad_top, pad_left, given):
    """Calls put for each window and every 16 channels; the usual 2 x 2 ones in a loop of their own, where all lies inside."""
    N, H, W, C = x.shape
    P, Q = y.shape[1:3]
    row, step, vectors = W * C, stride_w * C, (C + LANES - 1) // LANES
    for n in range(N):
        for p in range(P):
            h = p * stride_h - pad_top
            r0, r1 = taps(h, size_h, H)
            j, i, q = (n * H + h + r0) * row, (n * P + p) * Q * C, 0
            if size_h == 2 and size_w == 2 and pad_left == 0 and r1 - r0 == 2:
                whole, c = min(Q, (W - 2) // stride_w + 1), 0
                while whole and (i + whole * C + LANES > y.size or j + row + (whole - 1) * step + C + C + LANES > x.size):
                    whole -= 1                  # the last lanes would lie behind the end
                for _ in range(whole * vectors):
                    put(x, j + c, row, C, 0, 2, 2, 2, y, i + c, LANES, given)
                    c += LANES
                    if c >= C:
                        c, i, j = 0, i + C, j + step
                q = whole
            while q < Q:
                w = q * stride_w - pad_left
                s0, s1 = taps(w, size_w, W)
                k = (n * H + h + r0) * row + (w + s0) * C
                for c in range(0, C, LANES):
                    put(x, k + c, row, C, r0 * size_w + s0, size_w, r1 - r0, s1 - s0, y, i + c, C - c, given)
                i += C
                q += 1


@cpu_kernel
def maxpool2d_forward(x, y, argmax, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """The largest value of each window, and which tap it was."""
    _each_window(_put_maximum, x, y, size_h, size_w, stride_h, stride_w, pad_top, pad_left, argmax)


@cpu_kernel
def avgpool2d_forward(x, y, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """The sum of each window over its area."""
    _each_window(_put_mean, x, y, size_h, size_w, stride_h, stride_w, pad_top, pad_left, np.float32(size_h * size_w))


@helper
def _covering(at, size, stride, pad, windows):
    """first, last + 1 of the windows that cover the pixel `at`."""
    return max(0, (at + pad - size) // stride + 1), min(windows - 1, (at + pad) // stride) + 1


@inlined
def _collect(share, dy, dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left, given):
    """dx[n, h, w, c] = the sum of share(dy, i, tap, lanes, given) over the windows i that cover (h, w), as their tap `tap`."""
    N, P, Q, C = dy.shape
    H, W = dx.shape[1:3]
    vectors = (C + LANES - 1) // LANES
    tiled = stride_h == size_h and stride_w == size_w and pad_top == 0 and pad_left == 0     # at most one window on a pixel
    columns = np.empty((W, 2), np.int64)
    for w in range(W):
        columns[w, 0], columns[w, 1] = _covering(w, size_w, stride_w, pad_left, Q)
    for n in range(N):
        for h in range(H):
            p0, p1 = _covering(h, size_h, stride_h, pad_top, P)
            j, w, above = (n * H + h) * W * C, 0, (h + pad_top - p0 * stride_h) * size_w
            if tiled and p0 < p1:
                i, s, c, w = (n * P + p0) * Q * C, 0, 0, min(W, Q * size_w)
                while w and (j + w * C + LANES > dx.size or i + (w - 1) // size_w * C + C + LANES > dy.size):
                    w -= 1                      # the last lanes would lie behind the end
                for _ in range(w * vectors):
                    store_tail(dx, j + c, share(dy, i + c, above + s, LANES, given), LANES)
                    c += LANES
                    if c >= C:
                        c, j, s = 0, j + C, s + 1
                        if s == size_w:
                            s, i = 0, i + C
            while w < W:
                q0, q1 = columns[w]
                for c in range(0, C, LANES):
                    total = splat(0.0)
                    for p in range(p0, p1):
                        tap = (h + pad_top - p * stride_h) * size_w + w + pad_left
                        for q in range(q0, q1):
                            i = ((n * P + p) * Q + q) * C + c
                            total = total + share(dy, i, tap - q * stride_w, C - c, given)
                    store_tail(dx, j + c, total, C - c)
                j += C
                w += 1


@inlined
def _where_named(dy, i, tap, lanes, argmax):
    return where(equal(load_bytes(argmax, i, lanes), tap), load_tail(dy, i, lanes), 0.0)


@cpu_kernel
def maxpool2d_backward(dy, argmax, dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """Each window's gradient goes to the tap that won."""
    _collect(_where_named, dy, dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left, argmax)


@inlined
def _part(dy, i, tap, lanes, share):
    return load_tail(dy, i, lanes) * share


@cpu_kernel
def avgpool2d_backward(dy, dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """Each window's gradient is shared out to all its taps."""
    _collect(_part, dy, dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left, np.float32(1 / (size_h * size_w)))


@inlined
def _add_pixel(inputs, i, table, k, lanes, a, b):
    return a + load_tail(inputs[0], i, lanes), b


@cpu_kernel
def global_avgpool2d_forward(x, y):
    """y[n, c] = mean of x[n, :, :, c]."""
    N, H, W, C = x.shape
    sums = np.empty((2, row_length(C)))
    for n in range(N):
        add_channels(_add_pixel, (x,), n * H * W * C, H * W * C, sums, sums.shape[1], sums)
        for c in range(C):
            y[n, c] = of_channel(sums[0], c, C) / (H * W)


@inlined
def _of_channels(inputs, i, table, k, lanes):
    return load(table, k)


@cpu_kernel
def global_avgpool2d_backward(dy, dx):
    """dx[n, h, w, c] = dy[n, c] / (H W)."""
    N, H, W, C = dx.shape
    share = np.empty((1, row_length(C)), np.float32)
    for n in range(N):
        repeat(dy[n] / np.float32(H * W), share, 0)
        map_rows(_of_channels, (dy,), share, dx[n], share.shape[1])
