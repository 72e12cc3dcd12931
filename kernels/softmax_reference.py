"""Softmax over the last axis.

    forward   y[n,k]  = exp(x[n,k] - m[n]) / sum over j of exp(x[n,j] - m[n]),   m[n] = max over j of x[n,j]
    backward  dx[n,k] = y[n,k] (dy[n,k] - sum over j of dy[n,j] y[n,j])

x, y, dx, dy (N,K). Subtracting the maximum changes nothing in exact arithmetic and keeps exp from overflowing.
"""
import numpy as np

from .table import reference_kernel


@reference_kernel
def softmax_forward(x, y):
    """x (N,K) -> y (N,K)."""
    exponential = np.exp(x - x.real.max(axis=1, keepdims=True))
    y[...] = exponential / exponential.sum(axis=1, keepdims=True)


@reference_kernel
def softmax_backward(dy, y, dx):
    """dy (N,K), y (N,K) -> dx (N,K)."""
    dx[...] = y * (dy - (dy * y).sum(axis=1, keepdims=True))
