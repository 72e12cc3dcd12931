"""2-D convolution (cross-correlation), NHWC and HWIO, direct: every direction is one strided contraction.

    y[n, p, q, k]  = b[k] + sum over r, s, c of x[n, p * stride_h + r - pad_top, q * stride_w + s - pad_left, c] * w[r, s, c, k]
    dw[r, s, c, k] =        sum over n, p, q of x[n, p * stride_h + r - pad_top, q * stride_w + s - pad_left, c] * dy[n, p, q, k]
    dx[n, h, w, c] =        sum over r, s, k of dy[n, p, q, k] * w[r, s, c, k]   where p * stride_h + r - pad_top = h, q alike

Padding is made real: images are copied, a few at a time, into a scratch with a border of zeros, and the contraction
(contract_cpu.py) never meets an edge. For fixed r, the taps (s, c) of a pixel are one run of memory, so a filter row is a
single reduction however few channels there are. Filters are packed in panels of PANEL output channels.
"""
import numpy as np

from .contract_cpu import PANEL
from .jit import call, cpu_kernel, helper
from .simd import LANES, load, load_tail, splat, store, store_tail

SCRATCH = 1 << 18           # floats of padded images made at a time: 1 MiB, about half of a core's second-level cache
CHAIN = 1 << 10             # products summed in one run of the weight gradient before they join the total


@helper
def copy_run(a, i, b, j, count):
    """b[j : j + count] = a[i : i + count]."""
    for e in range(0, count - LANES + 1, LANES):
        store(b, j + e, load(a, i + e))
    done = count - count % LANES
    store_tail(b, j + done, load_tail(a, i + done, count - done), count - done)


@helper
def zero_run(b, j, count):
    for e in range(0, count - LANES + 1, LANES):
        store(b, j + e, splat(0.0))
    done = count - count % LANES
    store_tail(b, j + done, splat(0.0), count - done)


@helper
def pad_images(x, first, images, top, left, scratch):
    """scratch[i, h + top, w + left] = x[first + i, h, w], zeros around; what lies beyond the scratch is left out."""
    H, W, C = x.shape[1:]
    rows, cols = scratch.shape[1:3]
    left = min(left, cols)                  # a stride may step over the whole image, and over part of its border
    copied = min(W, cols - left)
    for i in range(images):
        for row in range(rows):
            j, h = (i * rows + row) * cols * C, row - top
            if 0 <= h < H:
                zero_run(scratch, j, left * C)
                copy_run(x, ((first + i) * H + h) * W * C, scratch, j + left * C, copied * C)
                zero_run(scratch, j + (left + copied) * C, (cols - left - copied) * C)
            else:
                zero_run(scratch, j, cols * C)


@helper
def pack(w):
    """(R, S, C, K) -> panels (ceil(K / PANEL), R, S, C, PANEL), flat; the last one is not filled up."""
    taps, K = w.shape[0] * w.shape[1] * w.shape[2], w.shape[3]
    packed = np.empty((K + PANEL - 1) // PANEL * taps * PANEL, np.float32)
    for panel in range((K + PANEL - 1) // PANEL):
        for tap in range(taps):
            copy_run(w, tap * K + panel * PANEL, packed, (panel * taps + tap) * PANEL, min(PANEL, K - panel * PANEL))
    return packed


@helper
def pack_transposed(w, first_r, step_r, taps_r, first_s, step_s, taps_s, packed):
    """Every step-th tap of w, last tap first, its channels swapped: panels (ceil(C / PANEL), taps_r, taps_s, K, PANEL)."""
    S, C, K = w.shape[1:]
    for panel in range((C + PANEL - 1) // PANEL):
        width = min(PANEL, C - panel * PANEL)
        for r in range(taps_r):
            for s in range(taps_s):
                row, col = first_r + (taps_r - 1 - r) * step_r, first_s + (taps_s - 1 - s) * step_s
                j = ((panel * taps_r + r) * taps_s + s) * K * PANEL
                for c in range(width):
                    for k in range(K):
                        packed[j + k * PANEL + c] = w[row, col, panel * PANEL + c, k]


@cpu_kernel
def conv2d_forward(x, w, b, y, stride_h, stride_w, pad_top, pad_left, contract):
    """y = x * w + b: the convolution of each image with K filters, plus a bias."""
    N, H, W, C = x.shape
    P, Q, K = y.shape[1:]
    R, S = w.shape[:2]
    rows, cols = (P - 1) * stride_h + R, (Q - 1) * stride_w + S
    inside = pad_top == 0 and pad_left == 0 and rows <= H and cols <= W
    packed, out, bias = pack(w), y.reshape(y.size), b
    images = N if inside else max(1, SCRATCH // (rows * cols * C))
    scratch = np.empty((0 if inside else min(N, images), rows, cols, C), np.float32)
    padded = x.reshape(x.size) if inside else scratch.reshape(scratch.size)
    height, width = (H, W) if inside else (rows, cols)
    for first in range(0, N, max(images, 1)):
        count = min(images, N - first)
        if not inside:
            pad_images(x, first, count, pad_top, pad_left, scratch)
        call(contract, padded, packed, bias, out[first * P * Q * K:], (
            count, P, Q, K, 1, R, S * C,                                        # N O M K, T U V
            height * width * C, stride_h * width * C, stride_w * C,             # a by n, o, i
            0, width * C, 1, 0, S * C * PANEL, PANEL, R * S * C * PANEL,        # a by t, u, v; b by t, u, v, panel
            0, 0, 0, PANEL,                                                     # start by n, o, i, panel
            P * Q * K, Q * K, K, 0))                                            # out by n, o, i; first of a


@cpu_kernel
def conv2d_backward_input(dy, w, dx, stride_h, stride_w, pad_top, pad_left, contract):
    """dx: a stride-1 convolution of dy with the flipped filter, one for each phase (h mod stride_h, w mod stride_w).

    The rows h of one phase meet the taps r = r0, r0 + stride_h, ... only, at p = (h + pad_top - r) / stride_h.
    """
    N, P, Q, K = dy.shape
    H, W, C = dx.shape[1:]
    R, S = w.shape[:2]
    stride_h, stride_w = min(stride_h, R) if P == 1 else stride_h, min(stride_w, S) if Q == 1 else stride_w    # fewer phases
    top, left = (R - 1) // stride_h, (S - 1) // stride_w                        # rows of zeros that make p >= 0
    rows = top + max(P, (H - 1 + pad_top) // stride_h + 1)
    cols = left + max(Q, (W - 1 + pad_left) // stride_w + 1)
    images = max(1, SCRATCH // (rows * cols * K))
    scratch = np.empty((min(N, images), rows, cols, K), np.float32)
    padded, out, zeros = scratch.reshape(scratch.size), dx.reshape(dx.size), np.zeros(PANEL, np.float32)
    panels = (C + PANEL - 1) // PANEL * PANEL
    packed, place = np.empty(R * S * K * panels, np.float32), 0
    for phase in range(stride_h * stride_w):                                    # pack the filter of each phase once
        r0, s0 = phase // stride_w, phase % stride_w
        taps_r, taps_s = max(0, (R - r0 + stride_h - 1) // stride_h), max(0, (S - s0 + stride_w - 1) // stride_w)
        pack_transposed(w, r0, stride_h, taps_r, s0, stride_w, taps_s, packed[place:])
        place += taps_r * taps_s * K * panels
    for first in range(0, N, images):
        count, place = min(images, N - first), 0
        pad_images(dy, first, count, top, left, scratch)
        for r0 in range(stride_h):
            for s0 in range(stride_w):
                taps_r, taps_s = max(0, (R - r0 + stride_h - 1) // stride_h), max(0, (S - s0 + stride_w - 1) // stride_w)
                h0, w0 = (r0 - pad_top) % stride_h, (s0 - pad_left) % stride_w  # the first row and column of the phase
                p0 = (h0 + pad_top - r0) // stride_h - (taps_r - 1) + top       # where its first window starts
                q0 = (w0 + pad_left - s0) // stride_w - (taps_s - 1) + left
                if h0 < H and w0 < W:
                    call(contract, padded, packed[place:], zeros, out[((first * H + h0) * W + w0) * C:], (
                        count, (H - h0 + stride_h - 1) // stride_h, (W - w0 + stride_w - 1) // stride_w, C,
                        1, taps_r, taps_s * K,
                        rows * cols * K, cols * K, K,
                        0, cols * K, 1, 0, taps_s * K * PANEL, PANEL, taps_r * taps_s * K * PANEL,
                        0, 0, 0, 0,
                        H * W * C, stride_h * W * C, stride_w * C, (p0 * cols + q0) * K))
                place += taps_r * taps_s * K * panels


@cpu_kernel
def conv2d_backward_weight(x, dy, dw, db, stride_h, stride_w, pad_top, pad_left, contract):
    """dw: the sum over pixels of x (spread) times dy (vectors), in runs of about CHAIN pixels that add up in dw; db: dy's sum."""
    N, H, W, C = x.shape
    P, Q, K = dy.shape[1:]
    R, S = dw.shape[:2]
    rows, cols = (P - 1) * stride_h + R, (Q - 1) * stride_w + S
    inside = pad_top == 0 and pad_left == 0 and rows <= H and cols <= W
    images = max(1, CHAIN // (P * Q))
    scratch = np.empty((0 if inside else min(N, images), rows, cols, C), np.float32)
    height, width = (H, W) if inside else (rows, cols)
    gradient, out = dy.reshape(dy.size), dw.reshape(dw.size)
    out[:] = 0
    for first in range(0, N, images):
        count = min(images, N - first)
        if not inside:
            pad_images(x, first, count, pad_top, pad_left, scratch)
        padded = x.reshape(x.size)[first * H * W * C:] if inside else scratch.reshape(scratch.size)
        call(contract, padded, gradient[first * P * Q * K:], out, out, (
            1, R, S * C, K, count, P, Q,                                        # N O M K, T U V
            0, width * C, 1,                                                    # a by n, o, i
            height * width * C, stride_h * width * C, stride_w * C,             # a by t, u, v
            P * Q * K, Q * K, K, PANEL,                                         # b by t, u, v, panel
            0, S * C * K, K, PANEL,                                             # start by n, o, i, panel: dw so far
            0, S * C * K, K, 0))                                                # out by n, o, i; first of a
    sum_rows(gradient, N * P * Q, K, db)


@helper
def sum_rows(a, rows, K, total):
    """total[k] = sum of a[row, k], in blocks of CHAIN rows: the error of a sum of one sign stays small."""
    for k in range(0, K, LANES):
        lanes, overall = min(LANES, K - k), splat(0.0)
        for first in range(0, rows, CHAIN):
            block = splat(0.0)
            for row in range(first, min(rows, first + CHAIN)):
                block = block + load_tail(a, row * K + k, lanes)
            overall = overall + block
        store_tail(total, k, overall, lanes)
