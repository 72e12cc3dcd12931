"""Convolution, ReLU and max pool in one, and its two backward passes: the largest of the windows' outputs alone is kept.

Output (p, q) sees size_h x size_w places of the filter, side by side, each with stride 1; place (a, b) of it is
z(a,b) = relu(bias[k] + sum over r,s,c of x[n, p size_h + a + r - pad_top, q size_w + b + s - pad_left, c] w[r,s,c,k]).

    forward          y[n,p,q,k] = max over a,b of z(a,b)
                     argmax[n,p,q,k] = a size_w + b, where that maximum stands; 255 where y = 0: no gradient passes there
    backward_input   dx[n,h,i,c] = sum over k, and over taps and outputs whose winner meets (h, i), of dy[n,p,q,k] w[r,s,c,k]
    backward_weight  dw[r,s,c,k] = sum over n,p,q of x dy[n,p,q,k], x as tap (r, s) of the winner meets it
                     db[k]       = sum over n,p,q of dy[n,p,q,k] where there is a winner

x, dx (N,H,W,C); w, dw (R,S,C,K); b, db (K,); y, dy, argmax (N,P,Q,K), argmax uint8. Of equal maxima the first in (a, b)
order wins; NaN beats every number and the first NaN wins. An argmax that names no place adds nothing.
"""
import numpy as np

from .frame_reference import empty_frame, framed, tap, unframed
from .table import reference_kernel


def _pooled(size, places, pad, filter_size):
    """The extent of an output's window of the input, its places, its stride, the pad: what frames are made of."""
    extent = tuple(a + r - 1 for a, r in zip(size, filter_size, strict=True))
    return extent, places, size, pad


@reference_kernel
def convpool2d_forward(x, w, b, y, argmax, size_h, size_w, pad_top, pad_left):
    """x (N,H,W,C), w (R,S,C,K), b (K,) -> y, argmax (N,P,Q,K)."""
    size, places = (size_h, size_w), y.shape[1:3]
    frame = framed(x, *_pooled(size, places, (pad_top, pad_left), w.shape[:2]))
    y[...] = 0
    argmax[...] = 255
    for a, c in np.ndindex(size):
        z = np.zeros_like(y) + b
        for r, s in np.ndindex(w.shape[:2]):
            z += tap(frame, a + r, c + s, places, size) @ w[r, s]           # (N,P,Q,C) @ (C,K) -> (N,P,Q,K)
        wins = (z > y) | (np.isnan(z) & ~np.isnan(y))
        y[wins] = z[wins]
        argmax[wins] = a * size_w + c


@reference_kernel
def convpool2d_backward_input(dy, argmax, w, dx, size_h, size_w, pad_top, pad_left):
    """dy, argmax (N,P,Q,K), w (R,S,C,K) -> dx (N,H,W,C)."""
    size, pad = (size_h, size_w), (pad_top, pad_left)
    extent, places, stride, _ = _pooled(size, dy.shape[1:3], pad, w.shape[:2])
    frame = empty_frame(len(dx), dx.shape[3], extent, places, stride, 0, dx.dtype)
    for a, c in np.ndindex(size):
        passed = np.where(argmax == a * size_w + c, dy, 0)
        for r, s in np.ndindex(w.shape[:2]):
            tap(frame, a + r, c + s, places, stride)[...] += passed @ w[r, s].T     # (N,P,Q,K) @ (K,C) -> (N,P,Q,C)
    unframed(frame, dx, pad)


@reference_kernel
def convpool2d_backward_weight(x, dy, argmax, dw, db, size_h, size_w, pad_top, pad_left):
    """x (N,H,W,C), dy, argmax (N,P,Q,K) -> dw (R,S,C,K), db (K,)."""
    size, places = (size_h, size_w), dy.shape[1:3]
    frame = framed(x, *_pooled(size, places, (pad_top, pad_left), dw.shape[:2]))
    dw[...], db[...] = 0, 0
    for a, c in np.ndindex(size):
        passed = np.where(argmax == a * size_w + c, dy, 0)
        for r, s in np.ndindex(dw.shape[:2]):
            dw[r, s] += np.tensordot(tap(frame, a + r, c + s, places, size), passed, axes=((0, 1, 2), (0, 1, 2)))
        db += passed.sum(axis=(0, 1, 2))
