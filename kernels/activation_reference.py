"""Activations, element by element; all arrays of one call have the same shape.

    relu        y = 0 if x <= 0 else x                  dx = 0 if y <= 0 else dy
    leaky_relu  y = slope x if x <= 0 else x            dx = slope dy if x <= 0 else dy
    sigmoid     y = 1 / (1 + exp(-x))                   dx = dy y (1 - y)
    tanh        y = tanh(x)                             dx = dy (1 - y^2)
    gelu        y = x Phi(x)                            dx = dy (Phi(x) + x phi(x))

Phi(x) = erfc(-x / sqrt 2) / 2 is the normal distribution function, phi(x) = exp(-x^2 / 2) / sqrt(2 pi) its density
(Hendrycks & Gimpel, Gaussian error linear units, 2016; the exact form, not the tanh approximation).
`x <= 0` is false for NaN, so that NaN passes through every one of them.
"""
import math

import numpy as np

from .table import reference_kernel


@reference_kernel
def relu_forward(x, y):
    """x -> y."""
    y[...] = np.where(x <= 0, 0, x)


@reference_kernel
def relu_backward(dy, y, dx):
    """dy, y -> dx."""
    dx[...] = np.where(y <= 0, 0, dy)


@reference_kernel
def leaky_relu_forward(x, y, slope):
    """x -> y."""
    y[...] = np.where(x <= 0, slope * x, x)


@reference_kernel
def leaky_relu_backward(dy, x, dx, slope):
    """dy, x -> dx."""
    dx[...] = np.where(x <= 0, slope * dy, dy)


@reference_kernel
def sigmoid_forward(x, y):
    """x -> y."""
    negative = x.real < 0
    small = np.exp(np.where(negative, x, -x))           # exp(-|x|) cannot overflow
    y[...] = np.where(negative, small, 1) / (1 + small)


@reference_kernel
def sigmoid_backward(dy, y, dx):
    """dy, y -> dx."""
    dx[...] = dy * y * (1 - y)


@reference_kernel
def tanh_forward(x, y):
    """x -> y."""
    y[...] = np.tanh(x)


@reference_kernel
def tanh_backward(dy, y, dx):
    """dy, y -> dx."""
    dx[...] = dy * (1 - y * y)


@reference_kernel
def gelu_forward(x, y):
    """x (real) -> y."""
    y[...] = x * _normal_distribution(x)


@reference_kernel
def gelu_backward(dy, x, dx):
    """dy, x (real) -> dx."""
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    dx[...] = dy * (_normal_distribution(x) + x * density)


def _normal_distribution(x):
    """Phi(x) in the type of x, right to float64 precision; erfc keeps the digits that 1 + erf loses where x << 0."""
    if np.iscomplexobj(x):
        raise TypeError(f"gelu is defined for real types here, got {x.dtype}")
    erfc = np.frompyfunc(math.erfc, 1, 1)
    return np.asarray(erfc(-x.astype(np.float64) / math.sqrt(2)) / 2, x.dtype)
