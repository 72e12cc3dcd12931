"""Convolution (a cross-correlation, as in every network library), forward and its two backward passes.

Tap (r, s) of the filter at place (p, q) meets the pixel  h = p stride_h + r - pad_top,  i = q stride_w + s - pad_left.

    forward          y[n,p,q,k]  = b[k] + sum over r,s,c of x[n,h,i,c] w[r,s,c,k]
    relu_forward     y           = 0 if that is <= 0, else that; NaN passes
    backward_input   dx[n,h,i,c] = sum over k, and over taps and places that meet at (h, i), of dy[n,p,q,k] w[r,s,c,k]
    backward_weight  dw[r,s,c,k] = sum over n,p,q of x[n,h,i,c] dy[n,p,q,k]
                     db[k]       = sum over n,p,q of dy[n,p,q,k]

x is zero outside the image. x, dx (N,H,W,C); w, dw (R,S,C,K); b, db (K,); y, dy (N,P,Q,K). The pads below and to the
right follow from the shapes. Each pass is one matrix product per filter tap (r, s), summed over the taps.
Source: Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016.
"""
import numpy as np

from .frame_reference import empty_frame, framed, tap, unframed
from .table import reference_kernel


@reference_kernel
def conv2d_forward(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    """x (N,H,W,C), w (R,S,C,K), b (K,) -> y (N,P,Q,K)."""
    size, places, stride, pad = w.shape[:2], y.shape[1:3], (stride_h, stride_w), (pad_top, pad_left)
    frame = framed(x, size, places, stride, pad)
    y[...] = b
    for r, s in np.ndindex(size):
        y += tap(frame, r, s, places, stride) @ w[r, s]                     # (N,P,Q,C) @ (C,K) -> (N,P,Q,K)


@reference_kernel
def conv2d_relu_forward(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    """x (N,H,W,C), w (R,S,C,K), b (K,) -> y (N,P,Q,K), ReLU applied."""
    conv2d_forward(x, w, b, y, stride_h, stride_w, pad_top, pad_left)
    y[y.real <= 0] = 0


@reference_kernel
def conv2d_backward_input(dy, w, dx, stride_h, stride_w, pad_top, pad_left):
    """dy (N,P,Q,K), w (R,S,C,K) -> dx (N,H,W,C)."""
    size, places, stride, pad = w.shape[:2], dy.shape[1:3], (stride_h, stride_w), (pad_top, pad_left)
    frame = empty_frame(len(dx), dx.shape[3], size, places, stride, 0, dx.dtype)
    for r, s in np.ndindex(size):
        tap(frame, r, s, places, stride)[...] += dy @ w[r, s].T             # (N,P,Q,K) @ (K,C) -> (N,P,Q,C)
    unframed(frame, dx, pad)


@reference_kernel
def conv2d_backward_weight(x, dy, dw, db, stride_h, stride_w, pad_top, pad_left):
    """x (N,H,W,C), dy (N,P,Q,K) -> dw (R,S,C,K), db (K,)."""
    size, places, stride, pad = dw.shape[:2], dy.shape[1:3], (stride_h, stride_w), (pad_top, pad_left)
    frame = framed(x, size, places, stride, pad)
    for r, s in np.ndindex(size):
        dw[r, s] = np.tensordot(tap(frame, r, s, places, stride), dy, axes=((0, 1, 2), (0, 1, 2)))       # -> (C,K)
    db[...] = dy.sum(axis=(0, 1, 2))
