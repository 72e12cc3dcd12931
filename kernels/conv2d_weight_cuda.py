"""Gradient of a convolution by its filters on the GPU: a matrix product over places, in register tiles.

    dw[t, k] = sum over m of A[m, t] dy[m, k]           m = (n, p, q) a place,  t = (r, s, c) a tap, A as in forward

dw (R,S,C,K) is the matrix (TAPS, K) as it lies in memory, and both factors are read along their rows. The places are cut
into parts of `chunk`, one for each z of the grid: part z of the sum goes to parts[z]; add_parts then adds them up in
the order of z. No atomic adds: the same call gives the same bits.

    db[k] = sum over m of dy[m, k]                      column_sums, in the same two steps

A thread looks at one tap, or four neighbours of one tap's channels, all the way; the place changes with each load. The
walk over places is that of conv2d_forward_cuda.py: two halves of shared memory, one barrier a step.
"""
import functools

from .cuda_support._compat import cuda, float32, int32, uint32
from .cuda_support.geometry import Geometry
from .cuda_support.intrinsics import divide, ld1, ldv4, st1, stv4
from .cuda_support.spec import KernelSpec
from .cuda_support.specialize import specialize, unroll
from .cuda_support.tiles import Tile, walk, width

SIGNATURE = "void(float32[::1], float32[::1], float32[::1], int32, int32)"
SUMS_SIGNATURE = "void(float32[::1], float32[::1], int32, int32)"
ADD_SIGNATURE = "void(float32[::1], float32[::1], int32)"


def weight_gradient(x, dy, parts, pixels, chunk):
    """The template: names in capitals are constants. Grid (TAPS / BM, K / BN, pixels / chunk)."""
    a_tile = cuda.shared.array(A_SIZE, float32, alignment=16)      # 2 x (BK, BM): places are rows
    b_tile = cuda.shared.array(B_SIZE, float32, alignment=16)      # 2 x (BK, BN)
    acc = cuda.local.array(TMN, float32)
    a = cuda.local.array(TM, float32)
    f = cuda.local.array(TN, float32)
    next_a = cuda.local.array(A_NEXT, float32)
    next_b = cuda.local.array(B_NEXT, float32)
    t = int32(cuda.threadIdx.x)
    lane = t & int32(31)
    warp = t >> int32(5)
    tx = int32((warp % int32(WARPS_X)) * int32(WX) + lane % int32(WX))
    ty = int32((warp // int32(WARPS_X)) * int32(WY) + lane // int32(WX))
    first = int32(int32(cuda.blockIdx.x) * int32(BM))
    column = int32(int32(cuda.blockIdx.y) * int32(BN))
    begin = int32(int32(cuda.blockIdx.z) * chunk)
    end = int32(min(begin + chunk, pixels))
    a_col = int32((t % int32(A_ROW)) * int32(WA))
    a_row = int32(t // int32(A_ROW))
    b_col = int32((t % int32(B_ROW)) * int32(WB))
    b_row = int32(t // int32(B_ROW))
    tap = int32(min(first + a_col, int32(TAPS - WA)))              # taps behind the last one repeat it, unused
    r = divide(tap, S * C)
    s = divide(tap - r * int32(S * C), C)
    ahead = int32(((r - int32(pad_top)) * int32(W) - int32(pad_left)) * int32(C) + tap - r * int32(S * C))
    for i in range(TMN):
        acc[i] = float32(0)
    steps = int32((end - begin + int32(BK - 1)) // int32(BK))
    a_from = int32(ty * int32(4))
    b_from = int32(tx * int32(4))
    a_to = int32(a_row * int32(BM) + a_col)
    b_to = int32(b_row * int32(BN) + b_col)
    for step in range(-1, steps, 2):
        for half in unroll(2):                  # fetches step + half + 1, multiplies step + half; the halves take turns
            more = int32(step) + int32(half + 1) < steps
            if more:
                place = int32(begin + (int32(step) + int32(half + 1)) * int32(BK))
                for i in unroll(A_PASSES):
                    m = int32(place + a_row + int32(i * A_STEP))
                    n = divide(m, PLACES)
                    m_in = int32(m - n * int32(PLACES))
                    p = divide(m_in, Q)
                    row = int32(p * int32(stride_h))
                    col = int32((m_in - p * int32(Q)) * int32(stride_w))
                    if ((A_WHOLE or a_row + int32(i * A_STEP) < int32(BK)) and m < end
                            and (INSIDE or (uint32(row + r - int32(pad_top)) < uint32(H)
                                            and uint32(col + s - int32(pad_left)) < uint32(W)))):
                        at = int32(((n * int32(H) + row) * int32(W) + col) * int32(C) + ahead)
                        if WA == 4:
                            next_a[i * 4], next_a[i * 4 + 1], next_a[i * 4 + 2], next_a[i * 4 + 3] = ldv4(x, at)
                        else:
                            next_a[i] = ld1(x, at)
                    else:
                        for j in unroll(WA):
                            next_a[i * WA + j] = float32(0)
                for i in unroll(B_PASSES):
                    m = int32(place + b_row + int32(i * B_STEP))
                    if ((B_WHOLE or b_row + int32(i * B_STEP) < int32(BK)) and m < end
                            and (K_WHOLE or column + b_col < int32(K))):
                        at = int32(m * int32(K) + column + b_col)
                        if WB == 4:
                            next_b[i * 4], next_b[i * 4 + 1], next_b[i * 4 + 2], next_b[i * 4 + 3] = ldv4(dy, at)
                        else:
                            next_b[i] = ld1(dy, at)
                    else:
                        for j in unroll(WB):
                            next_b[i * WB + j] = float32(0)
            if step + half >= 0 and step + half < steps:
                for k in unroll(BK):
                    for g in unroll(GM):
                        a[g * 4], a[g * 4 + 1], a[g * 4 + 2], a[g * 4 + 3] = ldv4(
                            a_tile, a_from + int32((1 - half) * BK * BM + k * BM + g * APART_M))
                    for g in unroll(GN):
                        f[g * 4], f[g * 4 + 1], f[g * 4 + 2], f[g * 4 + 3] = ldv4(
                            b_tile, b_from + int32((1 - half) * BK * BN + k * BN + g * APART_N))
                    for i in range(TM):
                        for j in range(TN):
                            acc[i * TN + j] += a[i] * f[j]
            if more:
                for i in unroll(A_PASSES):
                    if A_WHOLE or a_row + int32(i * A_STEP) < int32(BK):
                        if WA == 4:
                            stv4(a_tile, a_to + int32(half * BK * BM + i * A_STEP * BM),
                                 next_a[i * 4], next_a[i * 4 + 1], next_a[i * 4 + 2], next_a[i * 4 + 3])
                        else:
                            st1(a_tile, a_to + int32(half * BK * BM + i * A_STEP * BM), next_a[i])
                for i in unroll(B_PASSES):
                    if B_WHOLE or b_row + int32(i * B_STEP) < int32(BK):
                        if WB == 4:
                            stv4(b_tile, b_to + int32(half * BK * BN + i * B_STEP * BN),
                                 next_b[i * 4], next_b[i * 4 + 1], next_b[i * 4 + 2], next_b[i * 4 + 3])
                        else:
                            st1(b_tile, b_to + int32(half * BK * BN + i * B_STEP * BN), next_b[i])
                cuda.syncthreads()
    base = int32(int32(cuda.blockIdx.z) * int32(TAPS * K))
    for i in unroll(TM):
        tap = int32(first + ty * int32(4) + int32((i // 4) * APART_M + i % 4))
        if TAPS_WHOLE or tap < int32(TAPS):
            for g in unroll(GN):
                k = column + tx * int32(4) + int32(g * APART_N)
                if WB == 4:
                    if K_WHOLE or k < int32(K):
                        stv4(parts, int32(base + tap * int32(K) + k),
                             acc[i * TN + g * 4], acc[i * TN + g * 4 + 1], acc[i * TN + g * 4 + 2], acc[i * TN + g * 4 + 3])
                else:
                    for j in unroll(4):
                        if K_WHOLE or k + int32(j) < int32(K):
                            st1(parts, int32(base + tap * int32(K) + k + int32(j)), acc[i * TN + g * 4 + j])


def column_sums(dy, parts, pixels, chunk):
    """parts[z, k] = sum of dy[m, k] over the places of part z. Grid (K / COLUMNS, parts); COLUMNS x GROUPS threads."""
    sums = cuda.shared.array(SIZE, float32, alignment=16)
    t = int32(cuda.threadIdx.x)
    group = int32(t // int32(COLUMNS))
    k = int32(int32(cuda.blockIdx.x) * int32(COLUMNS) + t - group * int32(COLUMNS))
    begin = int32(int32(cuda.blockIdx.y) * chunk)
    end = int32(min(begin + chunk, pixels))
    total = float32(0)
    if group < int32(GROUPS) and k < int32(K):
        for m in range(begin + group, end, int32(GROUPS)):
            total += ld1(dy, int32(int32(m) * int32(K) + k))
        st1(sums, t, total)
    cuda.syncthreads()
    if group == int32(0) and k < int32(K):
        total = float32(0)
        for g in range(GROUPS):
            total += ld1(sums, int32(t + int32(g) * int32(COLUMNS)))
        st1(parts, int32(int32(cuda.blockIdx.y) * int32(K) + k), total)


def add_parts(parts, out, count):
    """out[i] = sum over z < count of parts[z, i], in the order of z; parts (count, SIZE). Grid SIZE / THREADS."""
    i = int32(int32(cuda.blockIdx.x) * int32(THREADS) + int32(cuda.threadIdx.x))
    if i < int32(SIZE):
        total = float32(0)
        for z in range(count):
            total += ld1(parts, int32(int32(z) * int32(SIZE) + i))
        st1(out, i, total)


@functools.cache
def spec(geometry: Geometry, tile: Tile) -> KernelSpec:
    """The kernel that writes the parts of dw for one geometry."""
    wa, wb = width(geometry.C), width(geometry.K)
    a_row, a_step, a_passes, a_whole = walk(tile.threads, tile.BK, tile.BM, wa)
    b_row, b_step, b_passes, b_whole = walk(tile.threads, tile.BK, tile.BN, wb)
    a_size, b_size = 2 * tile.BK * tile.BM, 2 * tile.BK * tile.BN
    function = specialize(
        weight_gradient, f"weight_gradient_{tile.name}_{geometry.name}", **geometry.constants(), **tile.constants(), WA=wa, WB=wb,
        A_ROW=a_row, A_STEP=a_step, A_PASSES=a_passes, A_WHOLE=a_whole, A_SIZE=a_size, A_NEXT=a_passes * wa,
        B_ROW=b_row, B_STEP=b_step, B_PASSES=b_passes, B_WHOLE=b_whole, B_SIZE=b_size, B_NEXT=b_passes * wb,
        TAPS_WHOLE=geometry.taps % tile.BM == 0, K_WHOLE=geometry.K % tile.BN == 0)
    return KernelSpec(function, SIGNATURE, tile.threads, (tile.threads, tile.resident))


@functools.cache
def sums_spec(K: int, threads: int) -> KernelSpec:
    """The kernel that writes the parts of db."""
    columns = min(K, threads)
    function = specialize(column_sums, f"column_sums_{K}", K=K, COLUMNS=columns, GROUPS=threads // columns, SIZE=threads)
    return KernelSpec(function, SUMS_SIGNATURE, threads)


@functools.cache
def add_spec(size: int, threads: int) -> KernelSpec:
    """The kernel that adds up parts of `size` numbers each."""
    return KernelSpec(specialize(add_parts, f"add_parts_{size}", SIZE=size, THREADS=threads), ADD_SIGNATURE, threads)
