"""Elementwise activations: y = f(x), and dx = dy f'(x), written with y where that is simpler; 16 lanes at a time.

    relu        0 if x <= 0 else x                  dy where y > 0
    leaky_relu  slope x if x <= 0 else x            slope dy where x <= 0, else dy
    sigmoid     1 / (1 + e^-x)                      dy y (1 - y)
    tanh        tanh x                              dy (1 - y^2)
    gelu        x Phi(x), Phi = (1 + erf(x/√2))/2   dy (Phi(x) + x e^(-x²/2) / √(2π))        Hendrycks & Gimpel 2016
A NaN in x is a NaN in y and in dx.
"""
import numpy as np

from .jit import cpu_kernel, helper
from .simd import LANES, fma, less_equal, load, load_tail, store, store_tail, where
from .simd_math import erf, exp
from .simd_math import tanh as tanh_of

SQRT_HALF, DENSITY_AT_ZERO = 0.707106781, 0.398942280


@helper
def each(f, x, y, *numbers):
    """y = f(x, *numbers), element by element."""
    whole = x.size - x.size % LANES
    for i in range(0, whole, LANES):
        store(y, i, f(load(x, i), *numbers))
    rest = x.size - whole
    store_tail(y, whole, f(load_tail(x, whole, rest), *numbers), rest)


@helper
def each_pair(f, a, b, y, *numbers):
    """y = f(a, b, *numbers), element by element."""
    whole = a.size - a.size % LANES
    for i in range(0, whole, LANES):
        store(y, i, f(load(a, i), load(b, i), *numbers))
    rest = a.size - whole
    store_tail(y, whole, f(load_tail(a, whole, rest), load_tail(b, whole, rest), *numbers), rest)


@helper
def _relu(x):
    return where(less_equal(x, 0.0), 0.0, x)


@helper
def _relu_slope(dy, y):
    return where(less_equal(y, 0.0), 0.0, dy)


@cpu_kernel
def relu_forward(x, y):
    """y = 0 if x <= 0 else x."""
    each(_relu, x, y)


@cpu_kernel
def relu_backward(dy, y, dx):
    """dx = 0 if y <= 0 else dy."""
    each_pair(_relu_slope, dy, y, dx)


@helper
def _leaky_relu(x, slope):
    return where(less_equal(x, 0.0), x * slope, x)


@helper
def _leaky_relu_slope(dy, x, slope):
    return where(less_equal(x, 0.0), dy * slope, dy)


@cpu_kernel
def leaky_relu_forward(x, y, slope):
    """y = slope * x if x <= 0 else x."""
    each(_leaky_relu, x, y, np.float32(slope))


@cpu_kernel
def leaky_relu_backward(dy, x, dx, slope):
    """dx = slope * dy if x <= 0 else dy."""
    each_pair(_leaky_relu_slope, dy, x, dx, np.float32(slope))


@helper
def _sigmoid(x):
    return 1.0 / (exp(-x) + 1.0)


@helper
def _sigmoid_slope(dy, y):
    return dy * (y * (1.0 - y))


@cpu_kernel
def sigmoid_forward(x, y):
    """y = 1 / (1 + e^-x)."""
    each(_sigmoid, x, y)


@cpu_kernel
def sigmoid_backward(dy, y, dx):
    """dx = dy y (1 - y)."""
    each_pair(_sigmoid_slope, dy, y, dx)


@helper
def _tanh_slope(dy, y):
    return dy * ((1.0 - y) * (y + 1.0))         # 1 - y^2 without the loss of digits near |y| = 1


@cpu_kernel
def tanh_forward(x, y):
    """y = tanh x."""
    each(tanh_of, x, y)


@cpu_kernel
def tanh_backward(dy, y, dx):
    """dx = dy (1 - y^2)."""
    each_pair(_tanh_slope, dy, y, dx)


@helper
def _phi(x):
    """The normal distribution's share below x."""
    return fma(erf(x * SQRT_HALF), 0.5, 0.5)


@helper
def _gelu(x):
    return x * _phi(x)


@helper
def _gelu_slope(dy, x):
    return dy * fma(x * DENSITY_AT_ZERO, exp(x * x * -0.5), _phi(x))


@cpu_kernel
def gelu_forward(x, y):
    """y = x Phi(x)."""
    each(_gelu, x, y)


@cpu_kernel
def gelu_backward(dy, x, dx):
    """dx = dy (Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi))."""
    each_pair(_gelu_slope, dy, x, dx)
