"""Activations on the GPU, element by element.

    relu        y = 0 if x <= 0 else x                  dx = 0 if y <= 0 else dy
    leaky_relu  y = slope x if x <= 0 else x            dx = slope dy if x <= 0 else dy
    sigmoid     y = 1 / (1 + exp(-x))                   dx = dy y (1 - y)
    tanh        y = tanh(x)                             dx = dy (1 - y^2)
    gelu        y = x Phi(x)                            dx = dy (Phi(x) + x phi(x))

Phi(x) = erfc(-x / sqrt 2) / 2, phi(x) = exp(-x^2 / 2) / sqrt(2 pi). All arrays of a call have one shape. `x <= 0` is false
for NaN, which so passes.
"""
import math

from .cuda_support._compat import device, float32
from .cuda_support.elementwise import elementwise
from .cuda_support.functions import erfc, exp, tanh
from .cuda_support.kernel import cuda_kernel

HALF_ROOT = 1 / math.sqrt(2)
DENSITY = 1 / math.sqrt(2 * math.pi)


def _relu(x):
    return float32(0) if x <= float32(0) else x


def _relu_gradient(dy, y):
    return float32(0) if y <= float32(0) else dy


@cuda_kernel
def relu_forward(x, y):
    """y = 0 if x <= 0 else x."""
    return elementwise("relu_forward", _relu, (x, y))


@cuda_kernel
def relu_backward(dy, y, dx):
    """dx = 0 if y <= 0 else dy."""
    return elementwise("relu_backward", _relu_gradient, (dy, y, dx))


def _leaky_relu(x, slope):
    return slope * x if x <= float32(0) else x


def _leaky_relu_gradient(dy, x, slope):
    return slope * dy if x <= float32(0) else dy


@cuda_kernel
def leaky_relu_forward(x, y, slope):
    """y = slope x if x <= 0 else x."""
    return elementwise("leaky_relu_forward", _leaky_relu, (x, y), (slope,))


@cuda_kernel
def leaky_relu_backward(dy, x, dx, slope):
    """dx = slope dy if x <= 0 else dy."""
    return elementwise("leaky_relu_backward", _leaky_relu_gradient, (dy, x, dx), (slope,))


def _sigmoid(x):
    small = exp(x if x < float32(0) else -x)                # exp(-|x|) cannot overflow
    return (small if x < float32(0) else float32(1)) / (float32(1) + small)


def _sigmoid_gradient(dy, y):
    return dy * y * (float32(1) - y)


@cuda_kernel
def sigmoid_forward(x, y):
    """y = 1 / (1 + exp(-x))."""
    return elementwise("sigmoid_forward", _sigmoid, (x, y))


@cuda_kernel
def sigmoid_backward(dy, y, dx):
    """dx = dy y (1 - y)."""
    return elementwise("sigmoid_backward", _sigmoid_gradient, (dy, y, dx))


def _tanh(x):
    return tanh(x)


def _tanh_gradient(dy, y):
    return dy * ((float32(1) - y) * (float32(1) + y))       # 1 - y^2 cancels near 1, this does not


@cuda_kernel
def tanh_forward(x, y):
    """y = tanh(x)."""
    return elementwise("tanh_forward", _tanh, (x, y))


@cuda_kernel
def tanh_backward(dy, y, dx):
    """dx = dy (1 - y^2)."""
    return elementwise("tanh_backward", _tanh_gradient, (dy, y, dx))


@device
def _normal(x):
    """Phi(x)."""
    return erfc(-x * float32(HALF_ROOT)) * float32(0.5)


def _gelu(x):
    return x * _normal(x)


def _gelu_gradient(dy, x):
    return dy * (_normal(x) + x * (exp(x * x * float32(-0.5)) * float32(DENSITY)))


@cuda_kernel
def gelu_forward(x, y):
    """y = x Phi(x)."""
    return elementwise("gelu_forward", _gelu, (x, y))


@cuda_kernel
def gelu_backward(dy, x, dx):
    """dx = dy (Phi(x) + x phi(x))."""
    return elementwise("gelu_backward", _gelu_gradient, (dy, x, dx))
