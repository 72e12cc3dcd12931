"""3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): 36 products for 16 pixels instead of 144.

    y tile (4x4) = A^T [ sum over c of (G w G^T) * (B^T x tile (6x6) B) ] A          (winograd_transforms.py)

Tiles of some images, or some lines of tiles of one, make a block. Of the 6x6 matrices one row a is handled at a time, so
that what is read again stays in the second-level cache:

    pixels  [b][tile][c]        row a of B^T x B, from the block's pixels in a frame of zeros
    filters [b][c][PANEL]       row a of G w G^T for one panel of output channels
    sums    [b][tile][PANEL]    their products, summed over c in order: 6 matrix products (winograd_gemm.py)
    halves  [a][vector of k][tile][4][LANES]    sums A, and, when all rows a are there, y = A^T halves + bias

The filters are transformed once in a call; where there is a single block, just before they are used. Tiles reach over the
edges of y; what lies outside is computed from zeros and not stored. A NaN or an infinity in x may spread over the tiles it
is a part of (a NaN in w over all of y), since every pixel of a tile takes part in every output.

The input gradient is the same with dy for x, the flipped filter with its channels swapped, and the pads 2 - pad.
"""
import numpy as np
from numba import types

from .contract_cpu import PANEL
from .jit import call, cpu_kernel, helper, linked
from .simd import LANES, flat, fma, load, load_tail, splat, store, store_tail
from .winograd_frame import frame
from .winograd_gemm import even, multiply
from .winograd_transforms import FILTER3_ROWS, PIXEL_FACTORS, PIXEL_ROWS, filter3, outputs4, pixels

TILES = 64                  # of a block, about
APART = 80                  # floats between planes, so that the six do not meet in the same sets of the first-level cache
_FLAT = types.float32[::1]


@helper
def row_of(channels):
    """Floats of a row of 16-lane vectors; an odd number of lines, so that columns go round all sets of a cache."""
    return ((channels + LANES - 1) // LANES | 1) * LANES


@helper
def filter_row(packed, C, a, panel, filters, first):
    """Row a of G w G^T for the output channels of one panel: six planes (C, PANEL)."""
    g0, g1, g2 = splat(FILTER3_ROWS[a, 0]), splat(FILTER3_ROWS[a, 1]), splat(FILTER3_ROWS[a, 2])
    plane = C * PANEL + APART
    for c in range(C):
        for k in range(0, PANEL, LANES):
            i, j = (panel * C + c) * 9 * PANEL + k, first + c * PANEL + k
            d0 = fma(load(packed, i + 6 * PANEL), g2, fma(load(packed, i + 3 * PANEL), g1, load(packed, i) * g0))
            i += PANEL
            d1 = fma(load(packed, i + 6 * PANEL), g2, fma(load(packed, i + 3 * PANEL), g1, load(packed, i) * g0))
            i += PANEL
            d2 = fma(load(packed, i + 6 * PANEL), g2, fma(load(packed, i + 3 * PANEL), g1, load(packed, i) * g0))
            u0, u1, u2, u3, u4, u5 = filter3(d0, d1, d2)
            store(filters, j, u0)
            store(filters, j + plane, u1)
            store(filters, j + 2 * plane, u2)
            store(filters, j + 3 * plane, u3)
            store(filters, j + 4 * plane, u4)
            store(filters, j + 5 * plane, u5)


@helper
def pixel_row(framed, i, line, channels, a, planes, j, plane):
    """Row a of B^T x B of one tile, whose first pixel is framed[i]; a line of pixels has `line` floats."""
    r0, r1, r2, r3 = PIXEL_ROWS[a, 0] * line, PIXEL_ROWS[a, 1] * line, PIXEL_ROWS[a, 2] * line, PIXEL_ROWS[a, 3] * line
    f0, f1, f2 = splat(PIXEL_FACTORS[a, 0]), splat(PIXEL_FACTORS[a, 1]), splat(PIXEL_FACTORS[a, 2])
    for c in range(0, channels, LANES):
        e = i + c
        d0 = fma(load(framed, e + r0), f0, fma(load(framed, e + r1), f1, fma(load(framed, e + r2), f2, load(framed, e + r3))))
        e += channels
        d1 = fma(load(framed, e + r0), f0, fma(load(framed, e + r1), f1, fma(load(framed, e + r2), f2, load(framed, e + r3))))
        e += channels
        d2 = fma(load(framed, e + r0), f0, fma(load(framed, e + r1), f1, fma(load(framed, e + r2), f2, load(framed, e + r3))))
        e += channels
        d3 = fma(load(framed, e + r0), f0, fma(load(framed, e + r1), f1, fma(load(framed, e + r2), f2, load(framed, e + r3))))
        e += channels
        d4 = fma(load(framed, e + r0), f0, fma(load(framed, e + r1), f1, fma(load(framed, e + r2), f2, load(framed, e + r3))))
        e += channels
        d5 = fma(load(framed, e + r0), f0, fma(load(framed, e + r1), f1, fma(load(framed, e + r2), f2, load(framed, e + r3))))
        v0, v1, v2, v3, v4, v5 = pixels(d0, d1, d2, d3, d4, d5)
        store(planes, j + c, v0)
        store(planes, j + c + plane, v1)
        store(planes, j + c + 2 * plane, v2)
        store(planes, j + c + 3 * plane, v3)
        store(planes, j + c + 4 * plane, v4)
        store(planes, j + c + 5 * plane, v5)


@helper
def pixel_rows(framed, images, lines, across, rows, cols, channels, a, planes, plane):
    """Row a of all tiles of a block, and one row of zeros behind an odd number of them."""
    row, t = row_of(channels), 0
    for n in range(images):
        for p in range(lines):
            for q in range(across):
                first = ((n * rows + 4 * p) * cols + 4 * q) * channels
                pixel_row(framed, first, cols * channels, channels, a, planes, t * row, plane)
                t += 1
    if t % 2:
        for b in range(6):
            for c in range(0, channels, LANES):
                store(planes, b * plane + t * row + c, splat(0.0))


@helper
def halve(sums, plane, tiles, panel, vectors, halves):
    """sums A of one row a: 6 -> 4."""
    for k in range(0, PANEL, LANES):
        vector = (panel * PANEL + k) // LANES
        for t in range(tiles if vector < vectors else 0):
            i, j = t * PANEL + k, (vector * tiles + t) * 4 * LANES
            m0, m1, m2 = load(sums, i), load(sums, i + plane), load(sums, i + 2 * plane)
            m3, m4, m5 = load(sums, i + 3 * plane), load(sums, i + 4 * plane), load(sums, i + 5 * plane)
            h0, h1, h2, h3 = outputs4(m0, m1, m2, m3, m4, m5)
            store(halves, j, h0)
            store(halves, j + LANES, h1)
            store(halves, j + 2 * LANES, h2)
            store(halves, j + 3 * LANES, h3)


@helper
def finish(halves, plane, tiles, bias, y, n, images, p, lines, across, size):
    """y = A^T halves + bias, for what lies inside; output channels first .. end - 1."""
    P, Q, K, first, end = size
    for k in range(first, end, LANES):
        i, added, lanes = k * tiles * 4, load_tail(bias, k, K - k), K - k
        for image in range(n, n + images):
            for line in range(p, p + lines):
                for q in range(0, 4 * across, 4):
                    j = ((image * P + 4 * line) * Q + q) * K + k
                    down = P - 4 * line
                    for _ in range(min(4, Q - q)):
                        m0, m1, m2 = load(halves, i), load(halves, i + plane), load(halves, i + 2 * plane)
                        m3, m4, m5 = load(halves, i + 3 * plane), load(halves, i + 4 * plane), load(halves, i + 5 * plane)
                        y0, y1, y2, y3 = outputs4(m0, m1, m2, m3, m4, m5)
                        store_tail(y, j, y0 + added, lanes)
                        if down > 1:
                            store_tail(y, j + Q * K, y1 + added, lanes)
                        if down > 2:
                            store_tail(y, j + 2 * Q * K, y2 + added, lanes)
                        if down > 3:
                            store_tail(y, j + 3 * Q * K, y3 + added, lanes)
                        i, j = i + LANES, j + K
                    i += LANES * (4 - min(4, Q - q))


@helper
def block_of(down, across):
    """(images, lines): what makes about TILES tiles."""
    return max(1, TILES // (down * across)), min(down, max(1, TILES // across))


@linked(_FLAT, _FLAT, _FLAT, _FLAT, types.UniTuple(types.int64, 11))
def winograd(x, packed, bias, y, numbers):
    """y for the output channels of panels first_panel .. panels - 1."""
    N, H, W, C, P, Q, K, top, left, first_panel, panels = numbers
    down, across = (P + 3) // 4, (Q + 3) // 4
    images, lines = block_of(down, across)
    images, vectors = max(1, min(images, N)), (K + LANES - 1) // LANES
    rows, cols, channels = 4 * lines + 2, 4 * across + 2, (C + LANES - 1) // LANES * LANES
    most = images * lines * across
    plane, sum_plane, filter_plane = even(most) * row_of(C) + APART, even(most) * PANEL + APART, C * PANEL + APART
    single = images == N and lines == down
    framed, planes = np.empty(images * rows * cols * channels, np.float32), np.empty(6 * plane, np.float32)
    filters, sums = np.empty((1 if single else 6 * panels) * 6 * filter_plane, np.float32), np.empty(6 * sum_plane, np.float32)
    half_plane = vectors * most * 4 * LANES + APART
    halves = np.empty(6 * half_plane, np.float32)
    for panel in range(first_panel, first_panel if single else panels):
        for a in range(6):
            filter_row(packed, C, a, panel, filters, (a * panels + panel) * 6 * filter_plane)
    for n in range(0, N, images):
        count = min(images, N - n)
        for p in range(0, down, lines):
            height = min(lines, down - p)
            tiles = count * height * across
            frame(x, n, count, 4 * p - top, -left, H, W, C, rows, cols, channels, framed)
            for a in range(6):
                pixel_rows(framed, count, height, across, rows, cols, channels, a, planes, plane)
                for panel in range(first_panel, panels):
                    first = 0 if single else (a * panels + panel) * 6 * filter_plane
                    if single:
                        filter_row(packed, C, a, panel, filters, first)
                    for b in range(6):
                        multiply(tiles, planes, b * plane, row_of(C), 1,
                                 filters, first + b * filter_plane, C, sums, b * sum_plane, False)
                    halve(sums, sum_plane, tiles, panel, vectors, flat(halves, a * half_plane))
            finish(halves, half_plane, tiles, bias, y, n, count, p, height, across,
                   (P, Q, K, first_panel * PANEL, min(K, panels * PANEL)))


@helper
def share(channels, part, parts):
    """(first, end) of the panels of one part."""
    panels = (channels + PANEL - 1) // PANEL
    return panels * part // parts, panels * (part + 1) // parts


@helper
def packed_filter(w, first, panels):
    """w (3, 3, C, K) as it is read, from panel `first` on: [panel][c][tap][PANEL], flat; zeros in the lanes from K on."""
    C, K = w.shape[2:]
    out = np.empty(panels * C * 9 * PANEL, np.float32)
    for tap in range(9):
        for c in range(C):
            for k in range(first * PANEL, panels * PANEL, LANES):
                store(out, ((k // PANEL * C + c) * 9 + tap) * PANEL + k % PANEL, load_tail(w, (tap * C + c) * K + k, K - k))
    return out


@helper
def packed_turned_filter(w, panels):
    """The filter of the input gradient, packed: turned by 180 degrees, k for c and c for k."""
    (C, K), weights = w.shape[2:], flat(w, 0)
    out = np.empty(panels * K * 9 * PANEL, np.float32)
    for panel in range(panels):
        for tap in range(9):
            for k0 in range(0, K, LANES):               # a square of lanes: neither side leaves the cache
                for k in range(k0, min(K, k0 + LANES)):
                    i, j = (8 - tap) * C * K + panel * PANEL * K + k, ((panel * K + k) * 9 + tap) * PANEL
                    for lane in range(PANEL):
                        out[j + lane] = weights[i + lane * K] if panel * PANEL + lane < C else np.float32(0)
    return out


@cpu_kernel
def conv2d_forward(x, w, b, y, stride_h, stride_w, pad_top, pad_left, winograd, part, parts):
    """y = x * w + b of a 3x3 filter, stride 1."""
    N, H, W, C = x.shape
    P, Q, K = y.shape[1:]
    first, panels = share(K, part, parts)
    call(winograd, flat(x, 0), packed_filter(w, first, panels), b, flat(y, 0),
         (N, H, W, C, P, Q, K, pad_top, pad_left, first, panels))


@cpu_kernel
def conv2d_backward_input(dy, w, dx, stride_h, stride_w, pad_top, pad_left, winograd):
    """dx of a 3x3 filter, stride 1: dy convolved with the turned filter."""
    N, P, Q, K = dy.shape
    H, W, C = dx.shape[1:]
    _, panels = share(C, 0, 1)
    call(winograd, flat(dy, 0), packed_turned_filter(w, panels), np.zeros(C, np.float32), flat(dx, 0),
         (N, P, Q, K, H, W, C, 2 - pad_top, 2 - pad_left, 0, panels))
