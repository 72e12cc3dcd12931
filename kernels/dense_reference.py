"""Fully connected: each output is a weighted sum of all inputs.

    forward          y  = x w + b      y[n,k]  = b[k] + sum over c of x[n,c] w[c,k]
    backward_input   dx = dy w^T       dx[n,c] = sum over k of dy[n,k] w[c,k]
    backward_weight  dw = x^T dy       dw[c,k] = sum over n of x[n,c] dy[n,k]
                     db[k] = sum over n of dy[n,k]

x, dx (N,C); w, dw (C,K); b, db (K,); y, dy (N,K).
"""
from .table import reference_kernel


@reference_kernel
def dense_forward(x, w, b, y):
    """x (N,C), w (C,K), b (K,) -> y (N,K)."""
    y[...] = x @ w + b


@reference_kernel
def dense_backward_input(dy, w, dx):
    """dy (N,K), w (C,K) -> dx (N,C)."""
    dx[...] = dy @ w.T


@reference_kernel
def dense_backward_weight(x, dy, dw, db):
    """x (N,C), dy (N,K) -> dw (C,K), db (K,)."""
    dw[...] = x.T @ dy
    db[...] = dy.sum(axis=0)
