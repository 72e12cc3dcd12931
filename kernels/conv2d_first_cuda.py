"""Convolution forward of a picture on the GPU: 1 or 3 channels, so few taps that all of them fit into shared memory.

    y[m, k] = b[k] + sum over t of A[m, t] w[t, k]      as in conv2d_forward_cuda.py, with TAPS <= 75

Reading the picture number by number costs most here, and a tap (r, s, c) would have to be taken apart for every one of
them. So a block gathers A once, (TAPS, BM) with the places of a warp side by side: all its threads then look for the same
tap. One barrier, no steps; several blocks on a multiprocessor hide each other's loads.
"""
import functools

from .cuda_support._compat import cuda, float32, int32, uint32
from .cuda_support.geometry import Geometry
from .cuda_support.intrinsics import divide, ld1, ldv4, st1, stv4
from .cuda_support.spec import KernelSpec
from .cuda_support.specialize import specialize, unroll
from .cuda_support.tiles import Tile, width

SIGNATURE = "void(float32[::1], float32[::1], float32[::1], float32[::1], int32)"


def convolve_first(x, w, b, y, pixels):
    """The template: names in capitals are constants. Grid (pixels / BM, K / BN)."""
    a_tile = cuda.shared.array(A_SIZE, float32, alignment=16)      # (TAPS, BM): taps are rows
    b_tile = cuda.shared.array(B_SIZE, float32, alignment=16)      # (TAPS, BN)
    acc = cuda.local.array(TMN, float32)
    a = cuda.local.array(TM, float32)
    f = cuda.local.array(TN, float32)
    t = int32(cuda.threadIdx.x)
    lane = t & int32(31)
    warp = t >> int32(5)
    tx = int32((warp % int32(WARPS_X)) * int32(WX) + lane % int32(WX))
    ty = int32((warp // int32(WARPS_X)) * int32(WY) + lane // int32(WX))
    first = int32(int32(cuda.blockIdx.x) * int32(BM))
    column = int32(int32(cuda.blockIdx.y) * int32(BN))
    for i in range(t, int32(B_SIZE), int32(THREADS)):
        tap = divide(i, BN)
        k = int32(column + i - tap * int32(BN))
        value = float32(0)
        if K_WHOLE or k < int32(K):
            value = ld1(w, int32(tap * int32(K) + k))
        st1(b_tile, i, value)
    for i in range(t, int32(A_SIZE), int32(THREADS)):
        tap = divide(i, BM)
        m = int32(min(first + i - tap * int32(BM), pixels - int32(1)))     # rows behind the last place repeat it, unused
        n = divide(m, PLACES)
        place = int32(m - n * int32(PLACES))
        p = divide(place, Q)
        r = divide(tap, S * C)
        rest = int32(tap - r * int32(S * C))
        row = int32(p * int32(stride_h) - int32(pad_top) + r)
        col = int32((place - p * int32(Q)) * int32(stride_w) - int32(pad_left))
        value = float32(0)
        if INSIDE or (uint32(row) < uint32(H) and uint32(col + divide(rest, C)) < uint32(W)):
            value = ld1(x, int32(((n * int32(H) + row) * int32(W) + col) * int32(C) + rest))
        st1(a_tile, i, value)
    for i in range(TMN):
        acc[i] = float32(0)
    cuda.syncthreads()
    a_from = int32(ty * int32(4))
    b_from = int32(tx * int32(4))
    for _ in range(TAPS // CHUNK):
        for k in unroll(CHUNK):
            for g in unroll(GM):
                a[g * 4], a[g * 4 + 1], a[g * 4 + 2], a[g * 4 + 3] = ldv4(a_tile, a_from + int32(k * BM + g * APART_M))
            for g in unroll(GN):
                f[g * 4], f[g * 4 + 1], f[g * 4 + 2], f[g * 4 + 3] = ldv4(b_tile, b_from + int32(k * BN + g * APART_N))
            for i in range(TM):
                for j in range(TN):
                    acc[i * TN + j] += a[i] * f[j]
        a_from += int32(CHUNK * BM)
        b_from += int32(CHUNK * BN)
    for j in unroll(TN):
        k = column + tx * int32(4) + int32((j // 4) * APART_N + j % 4)
        f[j] = float32(0)
        if K_WHOLE or k < int32(K):
            f[j] = ld1(b, k)
    for i in unroll(TM):
        m = first + ty * int32(4) + int32((i // 4) * APART_M + i % 4)
        if m < pixels:
            for j in range(TN):
                acc[i * TN + j] += f[j]
                if RELU:
                    acc[i * TN + j] = float32(0) if acc[i * TN + j] <= float32(0) else acc[i * TN + j]     # NaN passes
            for g in unroll(GN):
                k = column + tx * int32(4) + int32(g * APART_N)
                if WB == 4:
                    if K_WHOLE or k < int32(K):
                        stv4(y, int32(m * int32(K) + k),
                             acc[i * TN + g * 4], acc[i * TN + g * 4 + 1], acc[i * TN + g * 4 + 2], acc[i * TN + g * 4 + 3])
                else:
                    for j in unroll(4):
                        if K_WHOLE or k + int32(j) < int32(K):
                            st1(y, int32(m * int32(K) + k + int32(j)), acc[i * TN + g * 4 + j])


@functools.cache
def spec(geometry: Geometry, tile: Tile, relu=False) -> KernelSpec:
    """The kernel for one geometry."""
    taps = geometry.taps
    chunk = max(n for n in range(1, 10) if taps % n == 0)          # taps written out one after the other
    kind = "convolve_first" + "_relu" * relu
    function = specialize(
        convolve_first, f"{kind}_{tile.name}_{geometry.name}", **geometry.constants(), **tile.constants(), A_SIZE=taps * tile.BM,
        B_SIZE=taps * tile.BN, CHUNK=chunk,
        THREADS=tile.threads, WB=width(geometry.K), K_WHOLE=geometry.K % tile.BN == 0, RELU=relu)
    return KernelSpec(function, SIGNATURE, tile.threads, (tile.threads, tile.resident))
