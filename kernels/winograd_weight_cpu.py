"""The weight gradient of 3x3 convolutions of stride 1 by Winograd's F(3x3, 4x4): tiles of 4x4 of dy are the filters.

    dw = A^T [ sum over tiles of (B^T x tile (6x6) B) * (G dy tile (4x4) G^T) ] A       (winograd_transforms.py)

As in winograd_cpu.py, blocks of tiles and one row a of the 6x6 matrices at a time; the products are summed over tiles
instead of channels, and stay transformed until the last block:

    pixels  [b][tile][c]                x, as there
    deltas  [b][panel][tile][PANEL]     row a of G dy G^T, from dy in a frame of zeros
    sums    [a][panel][b][c][PANEL]     totals over the blocks; a block sums its tiles, in order, before it adds them
    halves  [a][3][panel][c][PANEL]     sums A, made in the last block; then dw = A^T halves

Tiles reach over the edges of dy, where it counts as 0; a NaN or an infinity in x may reach them, too.
"""
import numpy as np
from numba import types

from .contract_cpu import PANEL
from .frame_cpu import zero_run
from .jit import call, cpu_kernel, helper, linked
from .simd import LANES, flat, fma, load, splat, store, store_tail
from .sums_cpu import sum_rows
from .winograd_cpu import APART, pixel_rows, row_of
from .winograd_frame import frame
from .winograd_gemm import even, multiply
from .winograd_transforms import FILTER4_ROWS, filter4, outputs3

TILES = 128                 # of a block, about: longer sums touch the totals less often
_FLAT = types.float32[::1]


@helper
def delta_row(framed, i, line, channels, a, planes, j, plane, panel_step):
    """Row a of G dy G^T of one tile."""
    g0, g1 = splat(FILTER4_ROWS[a, 0]), splat(FILTER4_ROWS[a, 1])
    g2, g3 = splat(FILTER4_ROWS[a, 2]), splat(FILTER4_ROWS[a, 3])
    for k in range(0, channels, LANES):
        e, at = i + k, j + k // PANEL * panel_step + k % PANEL
        d0 = fma(load(framed, e + 3 * line), g3, fma(load(framed, e + 2 * line), g2,
                                                     fma(load(framed, e + line), g1, load(framed, e) * g0)))
        e += channels
        d1 = fma(load(framed, e + 3 * line), g3, fma(load(framed, e + 2 * line), g2,
                                                     fma(load(framed, e + line), g1, load(framed, e) * g0)))
        e += channels
        d2 = fma(load(framed, e + 3 * line), g3, fma(load(framed, e + 2 * line), g2,
                                                     fma(load(framed, e + line), g1, load(framed, e) * g0)))
        e += channels
        d3 = fma(load(framed, e + 3 * line), g3, fma(load(framed, e + 2 * line), g2,
                                                     fma(load(framed, e + line), g1, load(framed, e) * g0)))
        u0, u1, u2, u3, u4, u5 = filter4(d0, d1, d2, d3)
        store(planes, at, u0)
        store(planes, at + plane, u1)
        store(planes, at + 2 * plane, u2)
        store(planes, at + 3 * plane, u3)
        store(planes, at + 4 * plane, u4)
        store(planes, at + 5 * plane, u5)


@helper
def delta_rows(framed, images, lines, across, rows, cols, channels, a, planes, plane, panel_step):
    t = 0
    for n in range(images):
        for p in range(lines):
            for q in range(across):
                first = ((n * rows + 4 * p) * cols + 4 * q) * channels
                delta_row(framed, first, cols * channels, channels, a, planes, t * PANEL, plane, panel_step)
                t += 1


@helper
def halve(sums, first, plane, C, halves, j, half_plane):
    """sums A of one row a and panel: 6 -> 3."""
    for i in range(0, C * PANEL, LANES):
        e = first + i
        m0, m1, m2 = load(sums, e), load(sums, e + plane), load(sums, e + 2 * plane)
        m3, m4, m5 = load(sums, e + 3 * plane), load(sums, e + 4 * plane), load(sums, e + 5 * plane)
        h0, h1, h2 = outputs3(m0, m1, m2, m3, m4, m5)
        store(halves, j + i, h0)
        store(halves, j + i + half_plane, h1)
        store(halves, j + i + 2 * half_plane, h2)


@helper
def finish(halves, plane, C, K, dw):
    """dw = A^T halves."""
    tap, step = C * K, 3 * plane
    for s in range(3):
        for k in range(0, K, LANES):
            for c in range(C):
                i, j = s * plane + (k // PANEL * C + c) * PANEL + k % PANEL, s * tap + c * K + k
                m0, m1, m2 = load(halves, i), load(halves, i + step), load(halves, i + 2 * step)
                m3, m4, m5 = load(halves, i + 3 * step), load(halves, i + 4 * step), load(halves, i + 5 * step)
                w0, w1, w2 = outputs3(m0, m1, m2, m3, m4, m5)
                store_tail(dw, j, w0, K - k)
                store_tail(dw, j + 3 * tap, w1, K - k)
                store_tail(dw, j + 6 * tap, w2, K - k)


@linked(_FLAT, _FLAT, _FLAT, _FLAT, types.UniTuple(types.int64, 9))
def winograd_weight(x, dy, unused, dw, numbers):
    N, H, W, C, P, Q, K, top, left = numbers
    down, across = (P + 3) // 4, (Q + 3) // 4
    images, lines = max(1, min(N, TILES // (down * across))), min(down, max(1, TILES // across))
    rows, cols, channels = 4 * lines + 2, 4 * across + 2, (C + LANES - 1) // LANES * LANES
    panels, filters, most = (K + PANEL - 1) // PANEL, (K + PANEL - 1) // PANEL * PANEL, images * lines * across
    plane, panel_step, sum_plane = even(most) * row_of(C) + APART, most * PANEL, even(C) * PANEL + APART
    delta_plane = panels * panel_step + APART
    framed, planes = np.empty(images * rows * cols * channels, np.float32), np.empty(6 * plane, np.float32)
    framed_dy, deltas = np.empty(images * lines * across * 16 * filters, np.float32), np.empty(6 * delta_plane, np.float32)
    single, half_plane = images >= N and lines == down, panels * C * PANEL + APART
    sums, halves = np.empty((1 if single else 6 * panels) * 6 * sum_plane, np.float32), np.empty(18 * half_plane, np.float32)
    if N == 0:
        zero_run(dw, 0, dw.size)
        return
    for n in range(0, N, images):
        count = min(images, N - n)
        for p in range(0, down, lines):
            height = min(lines, down - p)
            frame(x, n, count, 4 * p - top, -left, H, W, C, rows, cols, channels, framed)
            frame(dy, n, count, 4 * p, 0, P, Q, K, 4 * lines, 4 * across, filters, framed_dy)
            for a in range(6):
                pixel_rows(framed, count, height, across, rows, cols, channels, a, planes, plane)
                delta_rows(framed_dy, count, height, across, 4 * lines, 4 * across, filters, a, deltas, delta_plane, panel_step)
                for panel in range(panels):
                    first = 0 if single else (a * panels + panel) * 6 * sum_plane
                    for b in range(6):
                        multiply(C, planes, b * plane, 1, row_of(C), deltas, b * delta_plane + panel * panel_step,
                                 count * height * across, sums, first + b * sum_plane, n > 0 or p > 0)
                    if n + count == N and p + height == down:
                        halve(sums, first, sum_plane, C, halves, 3 * a * half_plane + panel * C * PANEL, half_plane)
    finish(halves, half_plane, C, K, dw)


@cpu_kernel
def conv2d_backward_weight(x, dy, dw, db, stride_h, stride_w, pad_top, pad_left, winograd_weight):
    """dw and db of a 3x3 filter, stride 1."""
    N, H, W, C = x.shape
    P, Q, K = dy.shape[1:]
    call(winograd_weight, flat(x, 0), flat(dy, 0), db, flat(dw, 0), (N, H, W, C, P, Q, K, pad_top, pad_left))
    sum_rows(dy, N * P * Q, K, db)
