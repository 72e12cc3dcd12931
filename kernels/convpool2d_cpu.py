"""Convolution, ReLU and max pool in one: what the pool throws away never leaves the first-level cache.

    y[n,p,q,k] = max over a,b of relu(conv2d(x)[n, p size_h + a, q size_w + b, k]),  argmax = a size_w + b; 255 where y = 0

The convolution (conv2d_cpu.py) makes a band of size_h lines, the pool turns the band into a line of y. Going back, dy lives
at one place of each window only, and at none where argmax is 255: a quarter of the multiplications of the layers one by
one, for windows of 2x2. How the gradients use that is in convpool2d_winners_cpu.py; where the taps (s, c) of a filter row
are too few to fill a vector, dy is spread out instead and the weights' gradient is that of the plain convolution.
"""
import numpy as np

from .contract_cpu import PANEL, ROWS
from .conv2d_cpu import add_weight_gradient, in_order_of_weights, pack
from .conv2d_input_cpu import clearly_fewer
from .convpool2d_winners_cpu import scatter_winners, spread_winners, sum_living, sum_winners, winners_are_cheaper
from .frame_cpu import SCRATCH, pad_images
from .jit import call, cpu_kernel, helper
from .simd import LANES, both, flat, invert, isnan, less_equal, load, splat, splat_int, store, store_bytes, store_tail, where

LINES = 16                  # of outputs of the convolution in one call where lanes run over windows
DEAD = 255                  # argmax of a window where ReLU lets nothing through


@cpu_kernel
def convpool2d_forward(x, w, b, y, argmax, size_h, size_w, pad_top, pad_left, contract):
    """The largest output of the convolution under each window, if above 0, and where it stands."""
    C, K, Q = x.shape[3], y.shape[3], y.shape[2]
    if lanes_over_windows(C, K, Q, size_w):
        forward_over_windows(x, w, b, y, argmax, size_h, size_w, pad_top, pad_left, contract)
    else:
        forward_over_filters(x, w, b, y, argmax, size_h, size_w, pad_top, pad_left, contract)


@helper
def forward_over_filters(x, w, b, y, argmax, size_h, size_w, pad_top, pad_left, contract):
    """Tiles of ROWS pixels by a panel of filters, as in conv2d_cpu.py."""
    N, H, W, C = x.shape
    P, Q, K = y.shape[1:]
    R, S = w.shape[:2]
    width = Q * size_w                          # outputs of the convolution in a line
    rows, cols = P * size_h + R - 1, width + S - 1
    inside = pad_top == 0 and pad_left == 0 and rows <= H and cols <= W
    packed, band = pack(w), np.empty(size_h * width * K + LANES, np.float32)
    scratch = np.empty(0 if inside else rows * cols * C, np.float32)
    pitch = (W if inside else cols) * C
    for n in range(N):
        if not inside:
            pad_images(x, n, 1, pad_top, pad_left, scratch, rows, cols)
        image = flat(x, n * H * W * C) if inside else scratch
        for p in range(P):
            call(contract, image, packed, b, band, (
                1, size_h, width, K, 1, R, S * C,                           # N O M K, T U V
                0, pitch, C, 0, pitch, 1, 0, 0, S * C * PANEL, PANEL, R * S * C * PANEL,    # a by n, o, i, t, u, v; b
                0, 0, 0, PANEL, 0, width * K, K, p * size_h * pitch, 0, 1))  # start; out by n, o, i; first of a; no ReLU yet
            largest_of_band(band, y, argmax, (n * P + p) * Q * K, Q, K, size_h, size_w)


@helper
def line_of(Q, size_w):
    """Floats of a line of outputs where lanes run over Q windows: size_w runs of whole vectors, and whole panels of them."""
    return (size_w * ((Q + LANES - 1) // LANES * LANES) + PANEL - 1) // PANEL * PANEL


@helper
def lanes_over_windows(C, K, Q, size_w):
    """Whether lanes run over the windows of a line instead of the filters: for few filters on one channel.

    LeNet-5's first layer, K = 6: 2 tiles a line, of 6 filters by 16 pixels, instead of 5, of which 10 lanes in 16 are idle.
    """
    panels = line_of(Q, size_w) // PANEL * ((K + ROWS - 1) // ROWS)
    return C == 1 and clearly_fewer(panels, (K + PANEL - 1) // PANEL * ((Q * size_w + ROWS - 1) // ROWS))


@helper
def forward_over_windows(x, w, b, y, argmax, size_h, size_w, pad_top, pad_left, contract):
    """One channel. Place i of window j sees pixel size_w j + i + s through tap s. So each line of the image is dealt out to
    size_w columns of every size_w-th pixel, and `shifted` holds for each s and i the run of a column that the windows see: all
    taps (r, s) of a line are runs at equal distances, one loop, and the pool compares vectors. Beyond Q, lanes hold anything."""
    N, (P, Q, K), (R, S) = len(x), y.shape[1:], w.shape[:2]
    rows, cols, line = P * size_h + R - 1, Q * size_w + S - 1, line_of(Q, size_w)
    lanes = (Q + LANES - 1) // LANES * LANES
    group = max(1, LINES // size_h)
    column = lanes + (S + size_w - 2) // size_w + 1
    frame, columns = np.empty(rows * cols, np.float32), np.zeros(size_w * column, np.float32)
    shifted, planes = np.zeros(rows * S * line, np.float32), np.empty(group * size_h * K * line, np.float32)
    best_of, place_of = np.empty(K * lanes, np.float32), np.empty(K * lanes, np.uint8)
    bias, out, winners = np.empty(K * PANEL, np.float32), flat(y, 0), flat(argmax, 0)
    for k in range(K):
        for lane in range(PANEL):
            bias[k * PANEL + lane] = b[k]
    for n in range(N):
        pad_images(x, n, 1, pad_top, pad_left, frame, rows, cols)
        for h in range(rows):
            for i in range(min(size_w, cols)):
                for j in range((cols - i + size_w - 1) // size_w):
                    columns[np.uintp(i * column + j)] = frame[np.uintp(h * cols + j * size_w + i)]
            for i in range(size_w):
                at = i * column                                             # of pixel i + s: no division, which takes long
                for s in range(S):
                    for q in range(0, lanes, LANES):
                        store(shifted, (h * S + s) * line + i * lanes + q, load(columns, at + q))
                    at += column
                    if at >= size_w * column:
                        at -= size_w * column - 1
        for first in range(0, P, group):
            count = min(group, P - first)
            call(contract, flat(w, 0), flat(shifted, first * size_h * S * line), bias, planes, (
                1, count * size_h, K, line, 1, 1, R * S,                    # N O M K, T U V
                0, 0, 1, 0, 0, K, S * line, 0, 0, line, PANEL,              # a by n, o, i, t, u, v: w; b by o, t, u, v, panel
                0, 0, PANEL, 0, 0, K * line, line, 0, 0, 0))                # start and out by n, o, i; no ReLU yet
            for p in range(count):
                for k in range(K):
                    for q in range(0, lanes, LANES):
                        best, place = splat(0.0), splat_int(DEAD)
                        for a in range(size_h):
                            for i in range(size_w):
                                seen = load(planes, ((p * size_h + a) * K + k) * line + i * lanes + q)
                                best, place = challenge(best, place, seen, a * size_w + i)
                        store(best_of, k * lanes + q, best)
                        store_bytes(place_of, k * lanes + q, place, LANES)
                for q in range(Q):
                    at = ((n * P + first + p) * Q + q) * K
                    for k in range(K):
                        i, j = np.uintp(at + k), np.uintp(k * lanes + q)    # unsigned: no look at whether they are negative
                        out[i], winners[i] = best_of[j], place_of[j]


@helper
def challenge(best, place, v, number):
    """(best, place) after v came, which wins if it is larger, or the first NaN."""
    wins = both(invert(less_equal(v, best)), invert(isnan(best)))
    return where(wins, v, best), where(wins, splat_int(number), place)


@helper
def largest_of_band(band, y, argmax, first, Q, K, size_h, size_w):
    """A line of y and argmax, from element `first` on. Vectors run over into what is written next, but never out of y."""
    line = Q * size_w * K
    for q in range(Q):
        for k in range(0, K, LANES):
            i, best, place = q * size_w * K + k, splat(0.0), splat_int(DEAD)
            if size_h == 2 and size_w == 2:
                best, place = challenge(best, place, load(band, i), 0)
                best, place = challenge(best, place, load(band, i + K), 1)
                best, place = challenge(best, place, load(band, i + line), 2)
                best, place = challenge(best, place, load(band, i + line + K), 3)
            else:
                for a in range(size_h):
                    for b in range(size_w):
                        best, place = challenge(best, place, load(band, i + a * line + b * K), a * size_w + b)
            j = first + q * K + k
            store_tail(y, j, best, y.size - j)
            store_bytes(argmax, j, place, y.size - j)


@cpu_kernel
def convpool2d_backward_input(dy, argmax, w, dx, size_h, size_w, pad_top, pad_left, winners_scatter):
    """Each winner hands its gradient back to the R x S x C inputs that it saw."""
    scatter_winners(dy, argmax, w, dx, size_h, size_w, pad_top, pad_left, winners_scatter)


@cpu_kernel
def convpool2d_backward_weight(x, dy, argmax, dw, db, size_h, size_w, pad_top, pad_left, contract, winners_sum):
    """dw: the sum over the winners of dy times what they saw; db: the sum of their dy."""
    N, P, Q, K = dy.shape
    if winners_are_cheaper(dw.shape, size_h, size_w):
        sum_winners(x, dy, argmax, dw, db, size_h, size_w, pad_top, pad_left, winners_sum)
    else:
        lines, width, total = P * size_h, Q * size_w, np.zeros(dw.size, np.float32)
        images = max(1, SCRATCH // (lines * width * K))
        spread = np.empty((min(N, images), lines, width, K), np.float32)
        for first in range(0, N, images):
            count = min(images, N - first)
            spread_winners(dy[first:first + count], argmax[first:first + count], spread[:count], size_h, size_w)
            add_weight_gradient(x[first:first + count], spread[:count], dw.shape, total, 1, 1, pad_top, pad_left, contract)
        in_order_of_weights(total, dw)
        sum_living(dy, argmax, size_h * size_w, db)
