"""The gradient of a convolution by its input, in two ways.

    dx[n, h, w, c] = sum over r, s, k of dy[n, p, q, k] * w[r, s, c, k]     where p * stride_h + r - pad_top = h, q alike

gather: each pixel of dx collects what it gave. The rows h of one phase (h mod stride_h) meet the taps r = r0,
    r0 + stride_h, ... only, at p = (h + pad_top - r) / stride_h: a stride-1 convolution of dy with the flipped filter.
    Lanes run over C, so few channels leave most lanes idle, and where there is no padding the frame of zeros around dy
    makes more pixels than there are windows.
scatter: each window (p, q) hands back what it took: spread[(r, s, c)] = sum over k of dy[p, q, k] * w[r, s, c, k], one dense
    layer for all windows with lanes over all (r, s, c), and each of its R runs of S C numbers is added to dx. (LeNet-5's
    second layer, C = 6, 5x5: a fifth of the multiplications of gather.)
The choice depends on the shapes of one image only.
"""
import numpy as np

from .contract_cpu import PANEL
from .frame_cpu import SCRATCH, add_run, copy_run, pad_images, zero_run
from .jit import call, helper
from .simd import LANES, flat

SPREAD = 1 << 14            # floats of windows handed back at a time: 64 KiB
ADDING = 8                  # what adding one vector to dx costs, in multiply-adds


@helper
def clearly_fewer(a, b):
    """Below 80 % of b: the counts leave out loads and addresses, and at 76 % no gain was measured (C = 32, 3x3, 11x11)."""
    return 5 * a < 4 * b


@helper
def scatter_is_cheaper(dy_shape, w_shape, dx_shape, stride_h, stride_w):
    """Vector instructions of both ways, compared."""
    P, Q, K = dy_shape[1:]
    H, W, C = dx_shape[1:]
    R, S = w_shape[:2]
    collected = H * W * R * S * K * ((C + LANES - 1) // LANES) // (stride_h * stride_w)
    handed = P * Q * ((R * S * C + LANES - 1) // LANES * K + ADDING * R * ((S * C + LANES - 1) // LANES))
    return clearly_fewer(handed, collected)


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


@helper
def gather(dy, w, dx, stride_h, stride_w, pad_top, pad_left, contract):
    """A stride-1 convolution of dy, in a frame of zeros, with the flipped filter; one for each phase of the stride."""
    N, P, Q, K = dy.shape
    H, W, C = dx.shape[1:]
    R, S = w.shape[:2]
    stride_h, stride_w = min(stride_h, R) if P == 1 else stride_h, min(stride_w, S) if Q == 1 else stride_w    # fewer phases
    top, left = (R - 1) // stride_h, (S - 1) // stride_w                        # rows of zeros that make p >= 0
    rows = top + max(P, (H - 1 + pad_top) // stride_h + 1)
    cols = left + max(Q, (W - 1 + pad_left) // stride_w + 1)
    images = max(1, SCRATCH // (rows * cols * K))
    padded, zeros = np.empty(min(N, images) * rows * cols * K, np.float32), np.zeros(PANEL, np.float32)
    panels = (C + PANEL - 1) // PANEL * PANEL
    packed, place = np.empty(R * S * K * panels, np.float32), 0
    for phase in range(stride_h * stride_w):                                    # pack the filter of each phase once
        r0, s0 = phase // stride_w, phase % stride_w
        taps_r, taps_s = max(0, (R - r0 + stride_h - 1) // stride_h), max(0, (S - s0 + stride_w - 1) // stride_w)
        pack_transposed(w, r0, stride_h, taps_r, s0, stride_w, taps_s, flat(packed, place))
        place += taps_r * taps_s * K * panels
    for first in range(0, N, images):
        count, place = min(images, N - first), 0
        pad_images(dy, first, count, top, left, padded, rows, cols)
        for r0 in range(stride_h):
            for s0 in range(stride_w):
                taps_r, taps_s = max(0, (R - r0 + stride_h - 1) // stride_h), max(0, (S - s0 + stride_w - 1) // stride_w)
                h0, w0 = (r0 - pad_top) % stride_h, (s0 - pad_left) % stride_w  # the first row and column of the phase
                p0 = (h0 + pad_top - r0) // stride_h - (taps_r - 1) + top       # where its first window starts
                q0 = (w0 + pad_left - s0) // stride_w - (taps_s - 1) + left
                if h0 < H and w0 < W:
                    call(contract, padded, flat(packed, place), zeros, flat(dx, ((first * H + h0) * W + w0) * C), (
                        count, (H - h0 + stride_h - 1) // stride_h, (W - w0 + stride_w - 1) // stride_w, C,
                        1, taps_r, taps_s * K,                                  # the line above: N O M K; T U V
                        rows * cols * K, cols * K, K, 0, cols * K, 1,           # a by n, o, i, t, u, v
                        0, 0, taps_s * K * PANEL, PANEL, taps_r * taps_s * K * PANEL,   # b by o, t, u, v, panel
                        0, 0, 0, 0,                                             # start by n, o, i, panel
                        H * W * C, stride_h * W * C, stride_w * C,              # out by n, o, i
                        (p0 * cols + q0) * K, 0, 1))                            # first of a; no ReLU; b is packed
                place += taps_r * taps_s * K * panels


@helper
def scatter(dy, w, dx, stride_h, stride_w, pad_top, pad_left, contract):
    """Windows of some rows at a time: one contraction, then their runs are added to dx, or to a frame around it."""
    N, P, Q, K = dy.shape
    H, W, C = dx.shape[1:]
    R, S = w.shape[:2]
    run, taps = S * C, R * S * C
    rows, cols = max((P - 1) * stride_h + R, pad_top + H), max((Q - 1) * stride_w + S, pad_left + W)
    inside = pad_top == 0 and pad_left == 0 and rows == H and cols == W
    block, apart = max(1, SPREAD // (Q * taps)), (S + stride_w - 1) // stride_w
    filters, transposed, zeros = flat(w, 0), np.empty(K * taps, np.float32), np.zeros(PANEL, np.float32)
    for tap in range(taps):
        for k in range(K):
            transposed[k * taps + tap] = filters[tap * K + k]
    out = flat(dx, 0)
    spread, frame = np.empty(block * Q * taps, np.float32), np.empty(0 if inside else rows * cols * C, np.float32)
    for n in range(N):
        target, start = (out, n * H * W * C) if inside else (frame, 0)
        zero_run(target, start, rows * cols * C)
        for first in range(0, P, block):
            count = min(block, P - first)
            call(contract, flat(dy, (n * P + first) * Q * K), transposed, zeros, spread, (
                1, 1, count * Q, taps, 1, 1, K,                                 # N O M K, T U V
                0, 0, K, 0, 0, 1, 0, 0, 0, taps, PANEL,                         # a by n, o, i, t, u, v; b by o, t, u, v, panel
                0, 0, 0, 0, 0, 0, taps, 0, 0, 0))                               # start by n, o, i, panel; out by n, o, i
            for turn in range(apart):           # windows side by side overlap: a sum just stored would be waited for
                for p in range(count):
                    for r in range(R):
                        place = start + ((first + p) * stride_h + r) * cols * C
                        for q in range(turn, Q, apart):
                            add_run(spread, (p * Q + q) * taps + r * run, target, place + q * stride_w * C, run)
        for h in range(0 if inside else H):
            copy_run(frame, ((h + pad_top) * cols + pad_left) * C, out, (n * H + h) * W * C, W * C)
