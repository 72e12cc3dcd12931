"""Pooling on the GPU: the maximum or the mean of each channel under a window, or of the whole image.

    x(r,s) = x[n, p stride_h + r - pad_top, q stride_w + s - pad_left, c],  r < size_h,  s < size_w

    max      y[n,p,q,c] = max of x(r,s), argmax[n,p,q,c] = r size_w + s of where it stands (the first, or the first NaN)
             dx[n,h,i,c] = sum of dy over the windows whose argmax names (h, i)
    average  y[n,p,q,c] = sum of x(r,s) / (size_h size_w)
             dx[n,h,i,c] = sum of dy over the windows that cover (h, i) / (size_h size_w)
    global   y[n,c] = sum over h,i of x[n,h,i,c] / (H W)     dx[n,h,i,c] = dy[n,c] / (H W)

x, dx (N,H,W,C); y, dy, argmax (N,P,Q,C), argmax uint8; global y, dy (N,C). A thread makes V channels of one output, V = 4
where C is a multiple of 4, else 1. Backward a pixel gathers from its windows, so nothing is added by two threads. Window
and stride are constants of the compiled kernel; pads and extents are arguments.
"""
import functools

import numpy as np

from .cuda_support import blocks
from .cuda_support._compat import cuda, device, float32, int32, uint8
from .cuda_support.intrinsics import divide, ld1, ldv4, st1, stv4
from .cuda_support.kernel import cuda_kernel
from .cuda_support.launch import Launch
from .cuda_support.spec import KernelSpec
from .cuda_support.specialize import specialize, unroll

LOWEST = -float("inf")


@device
def _place(groups, across, down):
    """The place of this thread's outputs in (n, down, across, groups of channels): n, row, column, group."""
    thread = int32(cuda.blockIdx.x) * int32(cuda.blockDim.x) + int32(cuda.threadIdx.x)
    pixel = divide(thread, groups)
    row = divide(pixel, across)
    n = divide(row, down)
    return n, int32(row - n * down), int32(pixel - row * across), int32(thread - pixel * groups)


@device
def _windows(at, size, stride, count):
    """The first window that covers a pixel, `at` counted from the edge of the padding, and the one behind the last."""
    behind = at - size + stride
    first = divide(behind, stride) if behind > int32(0) else int32(0)
    return first, min(int32(divide(at, stride) + int32(1)), count)


def maximum(x, y, argmax, N, H, W, C, P, Q, pad_top, pad_left):
    best = cuda.local.array(V, float32)
    where = cuda.local.array(V, int32)
    v = cuda.local.array(V, float32)
    n, p, q, g = _place(divide(C, int32(V)), Q, P)
    if n < N:
        c, top, left = int32(g * int32(V)), int32(p * int32(DOWN) - pad_top), int32(q * int32(ACROSS) - pad_left)
        for k in unroll(V):
            best[k] = float32(LOWEST)
            where[k] = max(int32(0), -top) * int32(SIZE_W) + max(int32(0), -left)      # the first tap on a pixel
        for r in range(max(int32(0), -top), min(int32(SIZE_H), H - top)):
            for s in range(max(int32(0), -left), min(int32(SIZE_W), W - left)):
                i = int32(((n * H + top + r) * W + left + s) * C + c)
                if V == 4:
                    v[0], v[1], v[2], v[3] = ldv4(x, i)
                else:
                    v[0] = ld1(x, i)
                for k in unroll(V):
                    if v[k] > best[k] or (v[k] != v[k] and best[k] == best[k]):
                        best[k] = v[k]
                        where[k] = int32(r * int32(SIZE_W) + s)
        i = int32(((n * P + p) * Q + q) * C + c)
        if V == 4:
            stv4(y, i, best[0], best[1], best[2], best[3])
            stv4(argmax, i, uint8(where[0]), uint8(where[1]), uint8(where[2]), uint8(where[3]))
        else:
            st1(y, i, best[0])
            st1(argmax, i, uint8(where[0]))


def maximum_gradient(dy, argmax, dx, N, H, W, C, P, Q, pad_top, pad_left):
    total = cuda.local.array(V, float32)
    d = cuda.local.array(V, float32)
    where = cuda.local.array(V, int32)
    n, h, i, g = _place(divide(C, int32(V)), W, H)
    if n < N:
        c, top, left = int32(g * int32(V)), int32(h + pad_top), int32(i + pad_left)
        for k in unroll(V):
            total[k] = float32(0)
        p_first, p_end = _windows(top, int32(SIZE_H), int32(DOWN), P)
        q_first, q_end = _windows(left, int32(SIZE_W), int32(ACROSS), Q)
        for p in range(p_first, p_end):
            for q in range(q_first, q_end):
                tap = int32((top - p * int32(DOWN)) * int32(SIZE_W) + left - q * int32(ACROSS))
                j = int32(((n * P + p) * Q + q) * C + c)
                if V == 4:
                    d[0], d[1], d[2], d[3] = ldv4(dy, j)
                    where[0], where[1], where[2], where[3] = ldv4(argmax, j)
                else:
                    d[0] = ld1(dy, j)
                    where[0] = ld1(argmax, j)
                for k in unroll(V):
                    if where[k] == tap:
                        total[k] += d[k]
        j = int32(((n * H + h) * W + i) * C + c)
        if V == 4:
            stv4(dx, j, total[0], total[1], total[2], total[3])
        else:
            st1(dx, j, total[0])


def average(x, y, N, H, W, C, P, Q, pad_top, pad_left):
    total = cuda.local.array(V, float32)
    v = cuda.local.array(V, float32)
    n, p, q, g = _place(divide(C, int32(V)), Q, P)
    if n < N:
        c, top, left = int32(g * int32(V)), int32(p * int32(DOWN) - pad_top), int32(q * int32(ACROSS) - pad_left)
        for k in unroll(V):
            total[k] = float32(0)
        for r in range(max(int32(0), -top), min(int32(SIZE_H), H - top)):
            for s in range(max(int32(0), -left), min(int32(SIZE_W), W - left)):
                i = int32(((n * H + top + r) * W + left + s) * C + c)
                if V == 4:
                    v[0], v[1], v[2], v[3] = ldv4(x, i)
                else:
                    v[0] = ld1(x, i)
                for k in unroll(V):
                    total[k] += v[k]
        for k in unroll(V):
            total[k] /= float32(SIZE_H * SIZE_W)
        i = int32(((n * P + p) * Q + q) * C + c)
        if V == 4:
            stv4(y, i, total[0], total[1], total[2], total[3])
        else:
            st1(y, i, total[0])


def average_gradient(dy, dx, N, H, W, C, P, Q, pad_top, pad_left):
    total = cuda.local.array(V, float32)
    d = cuda.local.array(V, float32)
    n, h, i, g = _place(divide(C, int32(V)), W, H)
    if n < N:
        c = int32(g * int32(V))
        for k in unroll(V):
            total[k] = float32(0)
        p_first, p_end = _windows(int32(h + pad_top), int32(SIZE_H), int32(DOWN), P)
        q_first, q_end = _windows(int32(i + pad_left), int32(SIZE_W), int32(ACROSS), Q)
        for p in range(p_first, p_end):
            for q in range(q_first, q_end):
                j = int32(((n * P + p) * Q + q) * C + c)
                if V == 4:
                    d[0], d[1], d[2], d[3] = ldv4(dy, j)
                else:
                    d[0] = ld1(dy, j)
                for k in unroll(V):
                    total[k] += d[k]
        for k in unroll(V):
            total[k] /= float32(SIZE_H * SIZE_W)
        j = int32(((n * H + h) * W + i) * C + c)
        if V == 4:
            stv4(dx, j, total[0], total[1], total[2], total[3])
        else:
            st1(dx, j, total[0])


@functools.cache
def _spec(name, template, arrays, size_h, size_w, down, across, v, block):
    function = specialize(template, f"{name}_{size_h}x{size_w}_{down}x{across}_{v}", SIZE_H=size_h, SIZE_W=size_w,
                          DOWN=down, ACROSS=across, V=v)
    return KernelSpec(function, f"void({arrays}, {', '.join([int32.name] * 8)})", block)


def _launch(name, template, arrays, types, image, places, outputs, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """One thread for V channels of each of `outputs` = (N, down, across)."""
    (N, H, W, C), (P, Q) = image.shape, places
    v = 1 if C % 4 else 4
    # A stride that is never taken may be any number: 1 keeps the kernel's sums in 32 bits.
    spec = _spec(name, template, types, size_h, size_w, stride_h if P > 1 else 1, stride_w if Q > 1 else 1, v, blocks.ELEMENTS)
    threads = outputs.size // v
    return [Launch(spec, (-(-threads // spec.block),), *arrays, *map(np.int32, (N, H, W, C, P, Q, pad_top, pad_left)))]


@cuda_kernel
def maxpool2d_forward(x, y, argmax, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """The largest value under each window, and where it stands."""
    return _launch("maxpool2d_forward", maximum, (x, y, argmax), "float32[::1], float32[::1], uint8[::1]", x, y.shape[1:3], y,
                   size_h, size_w, stride_h, stride_w, pad_top, pad_left)


@cuda_kernel
def maxpool2d_backward(dy, argmax, dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """Each window's gradient goes to where its maximum stood."""
    return _launch("maxpool2d_backward", maximum_gradient, (dy, argmax, dx), "float32[::1], uint8[::1], float32[::1]", dx,
                   dy.shape[1:3], dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left)


@cuda_kernel
def avgpool2d_forward(x, y, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """The mean under each window; the padding counts as zeros."""
    return _launch("avgpool2d_forward", average, (x, y), "float32[::1], float32[::1]", x, y.shape[1:3], y,
                   size_h, size_w, stride_h, stride_w, pad_top, pad_left)


@cuda_kernel
def avgpool2d_backward(dy, dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """Each window's gradient is shared by its pixels."""
    return _launch("avgpool2d_backward", average_gradient, (dy, dx), "float32[::1], float32[::1]", dx, dy.shape[1:3], dx,
                   size_h, size_w, stride_h, stride_w, pad_top, pad_left)


def global_average(x, y, N, H, W, C):
    """A thread a channel of an image; sums of rows, then of those: the rounding of H + W sums, not of H W."""
    thread = int32(cuda.blockIdx.x) * int32(cuda.blockDim.x) + int32(cuda.threadIdx.x)
    n = divide(thread, C)
    if n < N:
        i = int32(n * H * W * C + thread - n * C)
        total = float32(0)
        for _ in range(H):
            line = float32(0)
            for _ in range(W):
                line += ld1(x, i)
                i = int32(i + C)
            total += line
        st1(y, thread, total / (float32(H) * float32(W)))


def global_average_gradient(dy, dx, N, pixels, C):
    """Grid over pixels and channels: each pixel of an image gets the same share."""
    thread = int32(cuda.blockIdx.x) * int32(cuda.blockDim.x) + int32(cuda.threadIdx.x)
    pixel = divide(thread, C)
    n = divide(pixel, pixels)
    if n < N:
        st1(dx, thread, ld1(dy, int32(n * C + thread - pixel * C)) / float32(pixels))


@functools.cache
def _global_spec(function, numbers, block):
    return KernelSpec(function, f"void(float32[::1], float32[::1], {', '.join([int32.name] * numbers)})", block)


@cuda_kernel
def global_avgpool2d_forward(x, y):
    """The mean of each channel over the image."""
    spec = _global_spec(global_average, 4, blocks.ELEMENTS)
    return [Launch(spec, (-(-y.size // spec.block),), x, y, *map(np.int32, x.shape))]


@cuda_kernel
def global_avgpool2d_backward(dy, dx):
    """Each pixel gets its share of the channel's gradient."""
    N, H, W, C = dx.shape
    spec = _global_spec(global_average_gradient, 3, blocks.ELEMENTS)
    return [Launch(spec, (-(-dx.size // spec.block),), dy, dx, np.int32(N), np.int32(H * W), np.int32(C))]
