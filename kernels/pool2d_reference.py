"""Pooling: the maximum or the mean of each channel under a window, or of the whole image.

    x(r,s) = x[n, p stride_h + r - pad_top, q stride_w + s - pad_left, c],  r < size_h,  s < size_w

    max      y[n,p,q,c] = max over r,s of x(r,s)             argmax[n,p,q,c] = r size_w + s, where that maximum stands
             dx[n,h,i,c] = sum of dy[n,p,q,c] over the windows whose maximum stands at (h, i)
    average  y[n,p,q,c] = sum over r,s of x(r,s) / (size_h size_w),  pads count as 0
             dx[n,h,i,c] = sum of dy[n,p,q,c] / (size_h size_w) over the windows that cover (h, i)
    global   y[n,c] = sum over h,i of x[n,h,i,c] / (H W)     dx[n,h,i,c] = dy[n,c] / (H W)

x, dx (N,H,W,C); y, dy, argmax (N,P,Q,C), argmax uint8; global y, dy (N,C). Of equal maxima the first in (r, s) order
wins; NaN beats every number and the first NaN wins; a pad never wins, not even against -inf.
"""
import numpy as np

from .frame_reference import empty_frame, framed, tap, unframed
from .table import reference_kernel


@reference_kernel
def maxpool2d_forward(x, y, argmax, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """x (N,H,W,C) -> y (N,P,Q,C), argmax (N,P,Q,C) uint8."""
    size, places, stride, pad = (size_h, size_w), y.shape[1:3], (stride_h, stride_w), (pad_top, pad_left)
    frame = framed(x, size, places, stride, pad)
    is_input = framed(np.ones(x.shape, bool), size, places, stride, pad)
    found = np.zeros(y.shape, bool)
    y[...] = -np.inf
    for r, s in np.ndindex(size):
        value = tap(frame, r, s, places, stride)
        wins = (value > y) | (np.isnan(value) & ~np.isnan(y)) | ~found
        wins &= tap(is_input, r, s, places, stride)
        y[wins] = value[wins]
        argmax[wins] = r * size_w + s
        found |= wins


@reference_kernel
def maxpool2d_backward(dy, argmax, dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """dy (N,P,Q,C), argmax (N,P,Q,C) uint8 -> dx (N,H,W,C); an argmax that names no tap, or a pad, adds nothing."""
    size, places, stride, pad = (size_h, size_w), dy.shape[1:3], (stride_h, stride_w), (pad_top, pad_left)
    frame = empty_frame(len(dx), dx.shape[3], size, places, stride, 0, dx.dtype)
    for r, s in np.ndindex(size):
        tap(frame, r, s, places, stride)[...] += np.where(argmax == r * size_w + s, dy, 0)
    unframed(frame, dx, pad)


@reference_kernel
def avgpool2d_forward(x, y, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """x (N,H,W,C) -> y (N,P,Q,C)."""
    size, places, stride, pad = (size_h, size_w), y.shape[1:3], (stride_h, stride_w), (pad_top, pad_left)
    frame = framed(x, size, places, stride, pad)
    y[...] = 0
    for r, s in np.ndindex(size):
        y += tap(frame, r, s, places, stride)
    y /= size_h * size_w


@reference_kernel
def avgpool2d_backward(dy, dx, size_h, size_w, stride_h, stride_w, pad_top, pad_left):
    """dy (N,P,Q,C) -> dx (N,H,W,C)."""
    size, places, stride, pad = (size_h, size_w), dy.shape[1:3], (stride_h, stride_w), (pad_top, pad_left)
    frame = empty_frame(len(dx), dx.shape[3], size, places, stride, 0, dx.dtype)
    for r, s in np.ndindex(size):
        tap(frame, r, s, places, stride)[...] += dy / (size_h * size_w)
    unframed(frame, dx, pad)


@reference_kernel
def global_avgpool2d_forward(x, y):
    """x (N,H,W,C) -> y (N,C)."""
    y[...] = x.sum(axis=(1, 2)) / (x.shape[1] * x.shape[2])


@reference_kernel
def global_avgpool2d_backward(dy, dx):
    """dy (N,C) -> dx (N,H,W,C)."""
    dx[...] = (dy / (dx.shape[1] * dx.shape[2]))[:, None, None, :]         # (N,C) -> (N,1,1,C) -> (N,H,W,C)
