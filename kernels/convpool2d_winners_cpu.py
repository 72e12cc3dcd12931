"""Gradients of a convolution under a max pool: one winner a window and channel, so sums over winners, not over pixels.

    dw[., k] = sum over the winners of channel k of  dy * (the R x S x C inputs that the winner saw)
    dx       = sum over the winners of  dy * w[., k], added where the winner stood

For each image the winners of each channel k are listed (`list_winners`): dy, and where the window of inputs begins. Both sums
then move whole filter rows of S C numbers, m rows by nv vectors at a time, which stay in registers while the list is read:
the sums in `sum_winners`, the weights in `scatter_winners`. Sums of an image are made apart and added image by image.
Windows side by side overlap. In dx a sum that was just stored would be waited for, so their order there keeps neighbours
apart (`apart` windows).
"""
import numpy as np
from numba import types

from .frame_cpu import copy_run, pad_images, zero_run
from .host import WIDE
from .jit import call, helper, linked
from .simd import (
    LANES,
    equal,
    flat,
    less,
    load_bytes,
    load_tail,
    splat,
    splat_int,
    store_tail,
    sum_lanes,
    tile_add,
    tile_axpy,
    tile_load,
    tile_scatter,
    tile_store,
    tile_zeros,
    to_float,
    where,
)
from .sums_cpu import CHAIN

MOST = 8 if WIDE else 6                 # vectors of a tile: 12 of the 16 registers of AVX2
LISTING = 6                             # what listing one winner costs, in multiply-adds of a vector


@helper
def winners_are_cheaper(w_shape, size_h, size_w):
    """For the weights' gradient: vector multiply-adds for each winner, against those of all pixels of its window."""
    R, S, C, K = w_shape
    filters = (K + LANES - 1) // LANES * LANES
    pixels = size_h * size_w * R * S * C * filters // (K * LANES)
    return LISTING + R * ((S * C + LANES - 1) // LANES) < pixels + size_h * size_w


# ---- tiles: m filter rows by nv vectors, once through a list of winners ----

_SUM = """
        acc = tile_zeros({m}, {nv})
        for j in range(first, first + count):
            acc = tile_axpy(acc, values[j], frame, places[j] + offset, pitch)
        tile_store(tile_add(acc, rows, place, step, LANES), rows, place, step, LANES)"""
_SCATTER = """
        acc = tile_load({m}, {nv}, rows, place, step)
        for j in range(first, first + count):
            tile_scatter(acc, values[j], frame, places[j] + offset, pitch)"""


def _tiles(name, body):
    """A linked function whose text holds `body` for each size of tile: m x nv vectors up to MOST."""
    lines = [f"def {name}(values, places, frame, rows, numbers):",
             "    m, nv, first, count, offset, pitch, place, step = numbers"]
    for nv in range(1, MOST + 1):
        lines += [f"    if m == {m} and nv == {nv}:{body.format(m=m, nv=nv)}" for m in range(1, MOST // nv + 1)]
    scope = dict(__name__=__name__, LANES=LANES, tile_add=tile_add, tile_axpy=tile_axpy, tile_load=tile_load,
                 tile_scatter=tile_scatter, tile_store=tile_store, tile_zeros=tile_zeros)
    exec("\n".join(lines), scope)
    floats, integers = types.float32[::1], types.int64[::1]
    return linked(floats, integers, floats, floats, types.UniTuple(types.int64, 8))(scope[name])


winners_sum, winners_scatter = _tiles("winners_sum", _SUM), _tiles("winners_scatter", _SCATTER)


@helper
def _over_filter(tiles, values, places, first, count, frame, pitch, rows, place, R, run):
    """All rows of one filter, as few tiles as fit: nearly equal runs of vectors, then of rows."""
    vectors = (run + LANES - 1) // LANES
    parts = (vectors + MOST - 1) // MOST
    done = 0
    for part in range(parts):
        nv = vectors * (part + 1) // parts - done
        high = min(R, MOST // nv)
        groups, r = (R + high - 1) // high, 0
        for group in range(groups):
            m = R * (group + 1) // groups - r
            call(tiles, values, places, frame, rows, (
                m, nv, first, count, r * pitch + done * LANES, pitch, place + (r * vectors + done) * LANES, vectors * LANES))
            r += m
        done += nv


@helper
def _windows(P, Q, size_h, size_w, cols, C, apart):
    """The order in which winners are listed: rows of dy, where in the frame their windows begin, and the places in a window."""
    rows, corners, inside, i = np.empty(P * Q, np.int64), np.empty(P * Q, np.int64), np.zeros(256, np.int64), 0
    half = (P + 1) // 2
    for p in range(half):                                       # by turns in the upper and the lower half
        for turn in range(apart):
            for q in range(turn, Q, apart):
                for line in range(p, P, half):
                    rows[i], corners[i] = line * Q + q, (line * size_h * cols + q * size_w) * C
                    i += 1
    for a in range(size_h):
        for b in range(size_w):
            inside[a * size_w + b] = (a * cols + b) * C
    return rows, corners, inside


@helper
def _list_winners(dy, argmax, start, K, windows, area, values, places, counts):
    """values[k * P * Q ...], places[...]: dy of the winners of channel k, and where their windows begin; counts[k] of them.

    start: of the image in dy and argmax. Channel by channel, so that the end of a list stays in a register.
    """
    rows, corners, inside = windows
    for k in range(K):
        end = k * rows.size
        for i in range(rows.size):
            at, to = np.uintp(start + rows[i] * K + k), np.uintp(end)       # unsigned: no look at whether they are negative
            place = argmax[at]
            values[to], places[to] = dy[at], corners[i] + inside[place]
            end += place < area
        counts[k] = end - k * rows.size


@helper
def _frame(P, Q, R, S, C, size_h, size_w):
    """(rows, columns, floats) of what the windows of one image see; vectors may run over its end."""
    rows, cols = P * size_h + R - 1, Q * size_w + S - 1
    return rows, cols, rows * cols * C


@helper
def sum_winners(x, dy, argmax, dw, db, size_h, size_w, pad_top, pad_left, tiles):
    """dw and db of a convolution under a max pool."""
    N, (P, Q, K), (R, S, C) = len(x), dy.shape[1:], dw.shape[:3]
    rows, cols, size = _frame(P, Q, R, S, C, size_h, size_w)
    row = (S * C + LANES - 1) // LANES * LANES
    frame, total = np.zeros(size + LANES, np.float32), np.zeros(K * R * row, np.float32)
    values, places, counts = np.empty(K * P * Q, np.float32), np.empty(K * P * Q, np.int64), np.empty(K, np.int64)
    windows, deltas, winners = _windows(P, Q, size_h, size_w, cols, C, 1), flat(dy, 0), flat(argmax, 0)
    for k in range(K):
        db[k] = 0
    for n in range(N):
        pad_images(x, n, 1, pad_top, pad_left, frame, rows, cols)
        _list_winners(deltas, winners, n * P * Q * K, K, windows, size_h * size_w, values, places, counts)
        for k in range(K):
            for first in range(0, counts[k], CHAIN):
                start, count = k * P * Q + first, min(CHAIN, counts[k] - first)
                _over_filter(tiles, values, places, start, count, frame, cols * C, total, k * R * row, R, S * C)
                block = splat(0.0)
                for i in range(0, count, LANES):
                    block = block + load_tail(values, start + i, count - i)
                db[k] += sum_lanes(block)
    weights = flat(dw, 0)
    for r in range(R):
        for tap in range(S * C):
            for k in range(K):
                weights[(r * S * C + tap) * K + k] = total[(k * R + r) * row + tap]


@helper
def scatter_winners(dy, argmax, w, dx, size_h, size_w, pad_top, pad_left, tiles):
    """dx of a convolution under a max pool."""
    N, H, W, C = dx.shape
    (P, Q, K), (R, S) = dy.shape[1:], w.shape[:2]
    rows, cols, size = _frame(P, Q, R, S, C, size_h, size_w)
    run, row = S * C, (S * C + LANES - 1) // LANES * LANES
    frame, filters = np.empty(size + LANES, np.float32), np.zeros(K * R * row, np.float32)
    weights, out = flat(w, 0), flat(dx, 0)
    for r in range(R):
        for tap in range(run):
            for k in range(K):
                filters[(k * R + r) * row + tap] = weights[(r * run + tap) * K + k]
    values, places, counts = np.empty(K * P * Q, np.float32), np.empty(K * P * Q, np.int64), np.empty(K, np.int64)
    apart = (row + C * (2 * size_w - 1) - 1) // (C * size_w)            # whole vectors of neighbours in a list do not meet
    windows = _windows(P, Q, size_h, size_w, cols, C, apart)
    deltas, winners = flat(dy, 0), flat(argmax, 0)
    left = min(pad_left, cols)
    copied = min(W, cols - left)
    for n in range(N):
        zero_run(frame, 0, size + LANES)
        _list_winners(deltas, winners, n * P * Q * K, K, windows, size_h * size_w, values, places, counts)
        for k in range(K):
            _over_filter(tiles, values, places, k * P * Q, counts[k], frame, cols * C, filters, k * R * row, R, run)
        for h in range(H):
            j = (n * H + h) * W * C
            if h + pad_top < rows:
                copy_run(frame, ((h + pad_top) * cols + left) * C, out, j, copied * C)
                zero_run(out, j + copied * C, (W - copied) * C)
            else:
                zero_run(out, j, W * C)


@helper
def sum_living(dy, argmax, area, db):
    """db[k] = the sum of dy[..., k] where argmax names a place, in blocks of CHAIN rows."""
    K = dy.shape[3]
    rows = dy.size // K
    for k in range(0, K, LANES):
        lanes, overall = min(LANES, K - k), splat(0.0)
        for first in range(0, rows, CHAIN):
            block = splat(0.0)
            for row in range(first, min(rows, first + CHAIN)):
                alive = less(to_float(load_bytes(argmax, row * K + k, lanes)), np.float32(area))
                block = block + where(alive, load_tail(dy, row * K + k, lanes), 0.0)
            overall = overall + block
        store_tail(db, k, overall, lanes)


@helper
def spread_winners(dy, argmax, spread, size_h, size_w):
    """spread (n, P size_h, Q size_w, K): dy where the winners stand, else 0. Vectors run over into what is written next."""
    P, Q, K = dy.shape[1:]
    j = 0
    for line in range(spread.shape[0] * P):
        for a in range(size_h):
            for q in range(Q):
                for b in range(size_w):
                    for k in range(0, K, LANES):
                        i, rest = (line * Q + q) * K + k, spread.size - j - k
                        place = load_bytes(argmax, i, argmax.size - i)
                        passed = where(equal(place, splat_int(a * size_w + b)), load_tail(dy, i, dy.size - i), 0.0)
                        store_tail(spread, j + k, passed, rest)
                    j += K
