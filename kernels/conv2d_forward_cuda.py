"""Convolution forward on the GPU: an implicit matrix product in register tiles.

    y[m, k] = b[k] + sum over t of A[m, t] w[t, k]      m = (n, p, q) a place,  t = (r, s, c) a tap

    A[m, t] = x[n, p stride_h + r - pad_top, q stride_w + s - pad_left, c], or 0 beside the image: never stored as a whole

The filters (R,S,C,K) are the matrix w (TAPS, K) as they lie in memory; NHWC puts 4 channels of a pixel into one 128-bit
load. A block computes BM x BN outputs. It walks over t in steps of BK: while it multiplies one step from shared memory,
the next one is on its way from x and w into registers, and goes to the other half of shared memory behind the sums. So
there is one barrier a step.

Where C or K is no multiple of 4, that side is loaded number by number (WA or WB = 1 instead of 4).
Outputs may go to every DOWN-th row and ACROSS-th column of y, for the gradient of a strided convolution's input.
Source: S. Boehm, How to Optimize a CUDA Matmul Kernel, 2022; Chetlur et al., cuDNN, 2014, section 3 (implicit product).
"""
import functools
from dataclasses import asdict, dataclass

from .cuda_support._compat import cuda, float32, int32, uint32
from .cuda_support.geometry import Geometry
from .cuda_support.intrinsics import divide, ld1, ldv4, st1, stv4
from .cuda_support.spec import KernelSpec
from .cuda_support.specialize import specialize, unroll
from .cuda_support.tiles import Tile, walk, width

SIGNATURE = "void(float32[::1], float32[::1], float32[::1], float32[::1], int32)"


def convolve(x, w, b, y, pixels):
    """The template: names in capitals are constants. Grid (pixels / BM, K / BN)."""
    a_tile = cuda.shared.array(A_SIZE, float32, alignment=16)      # 2 x (BK, BM + 4): taps are rows
    b_tile = cuda.shared.array(B_SIZE, float32, alignment=16)      # 2 x (BK, BN)
    acc = cuda.local.array(TMN, float32)
    a = cuda.local.array(TM, float32)
    f = cuda.local.array(TN, float32)
    next_a = cuda.local.array(A_NEXT, float32)
    next_b = cuda.local.array(B_NEXT, float32)
    corner = cuda.local.array(A_PASSES, int32)                     # where tap (0, 0, 0) of a place lies in x
    top = cuda.local.array(A_PASSES, int32)
    left = cuda.local.array(A_PASSES, int32)
    t = int32(cuda.threadIdx.x)
    lane = t & int32(31)
    warp = t >> int32(5)
    tx = int32((warp % int32(WARPS_X)) * int32(WX) + lane % int32(WX))
    ty = int32((warp // int32(WARPS_X)) * int32(WY) + lane // int32(WX))
    first = int32(int32(cuda.blockIdx.x) * int32(BM))
    column = int32(int32(cuda.blockIdx.y) * int32(BN))
    a_term = int32((t % int32(A_ROW)) * int32(WA))
    a_row = int32(t // int32(A_ROW))
    b_col = int32((t % int32(B_ROW)) * int32(WB))
    b_row = int32(t // int32(B_ROW))
    for i in range(TMN):
        acc[i] = float32(0)
    for i in unroll(A_PASSES):
        m = int32(min(first + a_row + int32(i * A_STEP), pixels - int32(1)))    # rows behind the last place repeat it, unused
        n = divide(m, PLACES)
        place = int32(m - n * int32(PLACES))
        p = divide(place, Q)
        row = int32(p * int32(stride_h) - int32(pad_top))
        col = int32((place - p * int32(Q)) * int32(stride_w) - int32(pad_left))
        corner[i] = int32(((n * int32(H) + row) * int32(W) + col) * int32(C) + a_term)
        top[i] = row
        left[i] = col
    a_from = int32(ty * int32(4))
    b_from = int32(tx * int32(4))
    a_to = int32(a_term * int32(LDA) + a_row)
    b_to = int32(b_row * int32(BN) + b_col)
    for step in range(-1, STEPS, 2):
        for half in unroll(2):                  # fetches step + half + 1, multiplies step + half; the halves take turns
            more = int32(step) + int32(half + 1) < int32(STEPS)
            if more:
                term = int32((int32(step) + int32(half + 1)) * int32(BK))
                if ONE_TAP:                     # all BK terms are channels of one tap: its place is the same for all threads
                    tap = term
                else:
                    tap = int32(term + a_term)
                r = divide(tap, S * C)
                s = divide(tap - r * int32(S * C), C)
                ahead = int32(term + r * int32((W - S) * C))
                for i in unroll(A_PASSES):
                    if ((A_WHOLE or a_row + int32(i * A_STEP) < int32(BM)) and (T_WHOLE or term + a_term < int32(TAPS))
                            and (INSIDE or (uint32(top[i] + r) < uint32(H) and uint32(left[i] + s) < uint32(W)))):
                        if WA == 4:
                            next_a[i * 4], next_a[i * 4 + 1], next_a[i * 4 + 2], next_a[i * 4 + 3] = ldv4(x, corner[i] + ahead)
                        else:
                            next_a[i] = ld1(x, corner[i] + ahead)
                    else:
                        for j in unroll(WA):
                            next_a[i * WA + j] = float32(0)
                for i in unroll(B_PASSES):
                    if ((B_WHOLE or b_row + int32(i * B_STEP) < int32(BK))
                            and (T_WHOLE or term + b_row + int32(i * B_STEP) < int32(TAPS))
                            and (K_WHOLE or column + b_col < int32(K))):
                        at = int32((term + b_row + int32(i * B_STEP)) * int32(K) + column + b_col + int32(W_FIRST))
                        if WB == 4:
                            next_b[i * 4], next_b[i * 4 + 1], next_b[i * 4 + 2], next_b[i * 4 + 3] = ldv4(w, at)
                        else:
                            next_b[i] = ld1(w, at)
                    else:
                        for j in unroll(WB):
                            next_b[i * WB + j] = float32(0)
            if step + half >= 0 and step + half < STEPS:
                for k in unroll(BK):
                    for g in unroll(GM):
                        a[g * 4], a[g * 4 + 1], a[g * 4 + 2], a[g * 4 + 3] = ldv4(
                            a_tile, a_from + int32((1 - half) * BK * LDA + k * LDA + g * APART_M))
                    for g in unroll(GN):
                        f[g * 4], f[g * 4 + 1], f[g * 4 + 2], f[g * 4 + 3] = ldv4(
                            b_tile, b_from + int32((1 - half) * BK * BN + k * BN + g * APART_N))
                    for i in range(TM):
                        for j in range(TN):
                            acc[i * TN + j] += a[i] * f[j]
            if more:
                for i in unroll(A_PASSES):
                    if A_WHOLE or a_row + int32(i * A_STEP) < int32(BM):
                        for j in unroll(WA):
                            st1(a_tile, a_to + int32(half * BK * LDA + j * LDA + i * A_STEP), next_a[i * WA + j])
                for i in unroll(B_PASSES):
                    if B_WHOLE or b_row + int32(i * B_STEP) < int32(BK):
                        if WB == 4:
                            stv4(b_tile, b_to + int32(half * BK * BN + i * B_STEP * BN),
                                 next_b[i * 4], next_b[i * 4 + 1], next_b[i * 4 + 2], next_b[i * 4 + 3])
                        else:
                            st1(b_tile, b_to + int32(half * BK * BN + i * B_STEP * BN), next_b[i])
                cuda.syncthreads()
    if BIAS:
        for j in unroll(TN):
            k = column + tx * int32(4) + int32((j // 4) * APART_N + j % 4)
            f[j] = float32(0)
            if K_WHOLE or k < int32(K):
                f[j] = ld1(b, k)
        for i in range(TM):
            for j in range(TN):
                acc[i * TN + j] += f[j]
    if RELU:
        for i in range(TMN):
            acc[i] = float32(0) if acc[i] <= float32(0) else acc[i]        # NaN passes
    for i in unroll(TM):
        m = first + ty * int32(4) + int32((i // 4) * APART_M + i % 4)
        if m < pixels:
            line = int32(m)
            if SPREAD:
                n = divide(m, PLACES)
                place = int32(m - n * int32(PLACES))
                p = divide(place, Q)
                line = int32((n * int32(OUT_H) + p * int32(DOWN) + int32(OUT_TOP)) * int32(OUT_W)
                             + (place - p * int32(Q)) * int32(ACROSS) + int32(OUT_LEFT))
            for g in unroll(GN):
                k = column + tx * int32(4) + int32(g * APART_N)
                if WB == 4:
                    if K_WHOLE or k < int32(K):
                        stv4(y, int32(line * int32(K) + k),
                             acc[i * TN + g * 4], acc[i * TN + g * 4 + 1], acc[i * TN + g * 4 + 2], acc[i * TN + g * 4 + 3])
                else:
                    for j in unroll(4):
                        if K_WHOLE or k + int32(j) < int32(K):
                            st1(y, int32(line * int32(K) + k + int32(j)), acc[i * TN + g * 4 + j])


@dataclass(frozen=True)
class Spread:
    """Outputs that are some of the pixels of a larger map: rows OUT_TOP, OUT_TOP + DOWN, ..., columns alike."""

    OUT_H: int
    OUT_W: int
    DOWN: int
    ACROSS: int
    OUT_TOP: int
    OUT_LEFT: int


NOT_SPREAD = Spread(0, 0, 1, 1, 0, 0)


@functools.cache
def spec(geometry: Geometry, tile: Tile, bias=True, relu=False, w_first=0, spread=NOT_SPREAD) -> KernelSpec:
    """The kernel for one geometry; `w_first` is where its filters begin in w."""
    wa, wb = width(geometry.C), width(geometry.K)
    a_row, a_step, a_passes, a_whole = walk(tile.threads, tile.BM, tile.BK, wa)
    b_row, b_step, b_passes, b_whole = walk(tile.threads, tile.BK, tile.BN, wb)
    lda = tile.BM + 4           # 4 more: the stores of a warp, 4 taps apart, then fall on different banks
    a_size, b_size = 2 * tile.BK * lda, 2 * tile.BK * tile.BN
    kind = "convolve" + "_bias" * bias + "_relu" * relu
    kind += f"_from_{w_first}_into_{spread.OUT_H}x{spread.OUT_W}" * (spread != NOT_SPREAD)
    function = specialize(
        convolve, f"{kind}_{tile.name}_{geometry.name}", **geometry.constants(), **tile.constants(), **asdict(spread),
        SPREAD=spread != NOT_SPREAD, BIAS=bias, RELU=relu, LDA=lda, W_FIRST=w_first, WA=wa, WB=wb,
        A_ROW=a_row, A_STEP=a_step, A_PASSES=a_passes, A_WHOLE=a_whole, A_SIZE=a_size, A_NEXT=a_passes * wa,
        B_ROW=b_row, B_STEP=b_step, B_PASSES=b_passes, B_WHOLE=b_whole, B_SIZE=b_size, B_NEXT=b_passes * wb,
        STEPS=-(-geometry.taps // tile.BK), ONE_TAP=geometry.C % tile.BK == 0, T_WHOLE=geometry.taps % tile.BK == 0,
        K_WHOLE=geometry.K % tile.BN == 0)
    return KernelSpec(function, SIGNATURE, tile.threads, (tile.threads, tile.resident))


def grid(geometry: Geometry, images: int, tile: Tile) -> tuple[int, int]:
    """Blocks over places and over filters."""
    return -(-images * geometry.places // tile.BM), -(-geometry.K // tile.BN)
