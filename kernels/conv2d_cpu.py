"""2-D convolution (cross-correlation), NHWC and HWIO, direct: every direction is one strided contraction.

    y[n, p, q, k]  = b[k] + sum over r, s, c of x[n, p * stride_h + r - pad_top, q * stride_w + s - pad_left, c] * w[r, s, c, k]
    dw[r, s, c, k] =        sum over n, p, q of x[n, p * stride_h + r - pad_top, q * stride_w + s - pad_left, c] * dy[n, p, q, k]
    dx                      in two ways, in conv2d_input_cpu.py

Padding is made real: images are copied, a few at a time, into a scratch with a border of zeros, and the contraction
(contract_cpu.py) never meets an edge. For fixed r, the taps (s, c) of a pixel are one run of memory, so a filter row is a
single reduction however few channels there are. Filters are packed in panels of PANEL output channels.
"""
import numpy as np

from . import winograd_choice, winograd_cpu, winograd_weight_cpu
from .choice import unless
from .contract_cpu import PANEL
from .conv2d_input_cpu import clearly_fewer, gather, scatter, scatter_is_cheaper
from .frame_cpu import SCRATCH, copy_run, pad_images
from .jit import call, cpu_kernel, helper
from .simd import LANES, flat
from .sums_cpu import sum_rows

RUN = 1 << 8                # pixels of the weights' gradient summed in one run: their x and dy stay in the first-level caches


@helper
def pack(w):
    """(R, S, C, K) -> panels (ceil(K / PANEL), R, S, C, PANEL), flat; beyond K the last one holds anything."""
    taps, K = w.shape[0] * w.shape[1] * w.shape[2], w.shape[3]
    packed = np.empty((K + PANEL - 1) // PANEL * taps * PANEL, np.float32)
    for panel in range((K + PANEL - 1) // PANEL):
        for tap in range(taps):
            copy_run(w, tap * K + panel * PANEL, packed, (panel * taps + tap) * PANEL, min(PANEL, K - panel * PANEL))
    return packed


@unless(winograd_cpu.conv2d_forward, winograd_choice.forward)
@cpu_kernel
def conv2d_forward(x, w, b, y, stride_h, stride_w, pad_top, pad_left, contract):
    """y = x * w + b: the convolution of each image with K filters, plus a bias."""
    convolve(x, w, b, y, stride_h, stride_w, pad_top, pad_left, 0, contract)


@cpu_kernel
def conv2d_relu_forward(x, w, b, y, stride_h, stride_w, pad_top, pad_left, contract):
    """y = relu(x * w + b), while the sums are in registers."""
    convolve(x, w, b, y, stride_h, stride_w, pad_top, pad_left, 1, contract)


@helper
def convolve(x, w, b, y, stride_h, stride_w, pad_top, pad_left, relu, contract):
    N, H, W, C = x.shape
    P, Q, K = y.shape[1:]
    R, S = w.shape[:2]
    rows, cols = (P - 1) * stride_h + R, (Q - 1) * stride_w + S
    inside = pad_top == 0 and pad_left == 0 and rows <= H and cols <= W
    packed = pack(w)
    images = N if inside else max(1, SCRATCH // (rows * cols * C))
    scratch = np.empty(0 if inside else min(N, images) * rows * cols * C, np.float32)
    padded = flat(x, 0) if inside else scratch
    height, width = (H, W) if inside else (rows, cols)
    for first in range(0, N, max(images, 1)):
        count = min(images, N - first)
        if not inside:
            pad_images(x, first, count, pad_top, pad_left, scratch, rows, cols)
        call(contract, padded, packed, b, flat(y, first * P * Q * K), (
            count, P, Q, K, 1, R, S * C,                                        # N O M K, T U V
            height * width * C, stride_h * width * C, stride_w * C,             # a by n, o, i
            0, width * C, 1, 0, 0, S * C * PANEL, PANEL, R * S * C * PANEL,     # a by t, u, v; b by o, t, u, v, panel
            0, 0, 0, PANEL,                                                     # start by n, o, i, panel
            P * Q * K, Q * K, K, 0, relu, 1))                                   # out by n, o, i; first of a; b is packed


@unless(winograd_cpu.conv2d_backward_input, winograd_choice.backward_input)
@cpu_kernel
def conv2d_backward_input(dy, w, dx, stride_h, stride_w, pad_top, pad_left, contract):
    """dx by whichever way needs fewer vector instructions; see conv2d_input_cpu.py."""
    if scatter_is_cheaper(dy.shape, w.shape, dx.shape, stride_h, stride_w):
        scatter(dy, w, dx, stride_h, stride_w, pad_top, pad_left, contract)
    else:
        gather(dy, w, dx, stride_h, stride_w, pad_top, pad_left, contract)


@unless(winograd_weight_cpu.conv2d_backward_weight, winograd_choice.backward_weight)
@cpu_kernel
def conv2d_backward_weight(x, dy, dw, db, stride_h, stride_w, pad_top, pad_left, contract):
    """dw: the sum over pixels of x times dy, in runs of about RUN pixels that add up; db: the sum of dy."""
    (N, P, Q, K), total = dy.shape, np.zeros(dw.size, np.float32)
    add_weight_gradient(x, dy, dw.shape, total, stride_h, stride_w, pad_top, pad_left, contract)
    in_order_of_weights(total, dw)
    sum_rows(dy, N * P * Q, K, db)


@helper
def lanes_over_taps(w_shape):
    """Whether lanes run over the taps (s, c) instead of the filters k, since that takes fewer vectors.

    K = 10, 3x3x10: 10 rows of 2 vectors instead of 30 of 1.
    """
    R, S, C, K = w_shape
    return clearly_fewer(K * ((S * C + LANES - 1) // LANES), S * C * ((K + LANES - 1) // LANES))


@helper
def in_order_of_weights(total, dw):
    """dw from a total of add_weight_gradient: (r, s, c, k), or (r, k, (s, c)) where lanes run over the taps."""
    R, S, C, K = dw.shape
    run, weights = S * C, flat(dw, 0)
    if lanes_over_taps(dw.shape):
        for r in range(R):
            for tap in range(run):
                for k in range(K):
                    weights[(r * run + tap) * K + k] = total[(r * K + k) * run + tap]
    else:
        copy_run(total, 0, dw, 0, dw.size)


@helper
def add_weight_gradient(x, dy, w_shape, total, stride_h, stride_w, pad_top, pad_left, contract):
    """total += the sum over pixels of x times dy; for its order see in_order_of_weights."""
    N, H, W, C = x.shape
    P, Q, K = dy.shape[1:]
    R, S = w_shape[:2]
    run = S * C
    rows, cols = (P - 1) * stride_h + R, (Q - 1) * stride_w + S
    inside = pad_top == 0 and pad_left == 0 and rows <= H and cols <= W
    images, windows = max(1, RUN // (P * Q)), min(P, max(1, RUN // Q))          # of a run: whole images, or rows of one
    scratch = np.empty(0 if inside else min(N, images) * rows * cols * C, np.float32)
    height, width = (H, W) if inside else (rows, cols)
    turned = lanes_over_taps(w_shape)
    for first in range(0, N, images):
        count = min(images, N - first)
        if not inside:
            pad_images(x, first, count, pad_top, pad_left, scratch, rows, cols)
        pixels = flat(x, first * H * W * C) if inside else scratch
        image, row, pixel, step = height * width * C, stride_h * width * C, stride_w * C, width * C
        for p in range(0, P, windows):
            lines, place, deltas = min(windows, P - p), p * row, flat(dy, (first * P + p) * Q * K)
            if turned:
                call(contract, deltas, flat(pixels, place), total, total, (
                    1, R, K, run, count, lines, Q,                              # N O M K, T U V
                    0, 0, 1, P * Q * K, Q * K, K,                               # a by n, o, i, t, u, v
                    step, image, row, pixel, PANEL,                             # b by o, t, u, v, panel
                    0, K * run, run, PANEL, 0, K * run, run, 0, 0, 0))          # start by n, o, i, panel: dw so far; out
            else:
                call(contract, pixels, deltas, total, total, (
                    1, R, run, K, count, lines, Q,                              # N O M K, T U V
                    0, step, 1, image, row, pixel,                              # a by n, o, i, t, u, v
                    0, P * Q * K, Q * K, K, PANEL,                              # b by o, t, u, v, panel
                    0, run * K, K, PANEL, 0, run * K, K, place, 0, 0))          # start by n, o, i, panel; out; first of a
