"""Activations: one function applied to every value, so x, y, dx and dy share one shape (N, ...).

    ReLU       y = 0 if x <= 0 else x           dx = 0 if y <= 0 else dy           Nair and Hinton 2010; NaN passes
    LeakyReLU  y = x if x > 0 else slope*x      dx = dy if x > 0 else slope*dy     Maas et al. 2013, section 2
    Sigmoid    y = 1 / (1 + exp(-x))            dx = dy * y * (1 - y)
    Tanh       y = tanh(x)                      dx = dy * (1 - y^2)
    GELU       y = x * Phi(x)                   dx = dy * (Phi(x) + x * phi(x))    Hendrycks and Gimpel 2016; exact

Phi(x) = (1 + erf(x / sqrt 2)) / 2 and phi(x) = exp(-x^2 / 2) / sqrt(2 pi) are the normal distribution and its density.
The cache is y where the derivative is known from y, else x.
"""
from __future__ import annotations

import math

from .. import kernels, memory
from ..arguments import real
from .base import Layer


class ReLU(Layer):
    """max(0, x), with 0 as the derivative at 0."""

    per_image = True
    recordable = True

    def forward(self, x, train=False, rng=None):
        y = memory.empty(x.shape, x.dtype)
        kernels.get("relu_forward", x.dtype)(x, y)
        return y, y

    def backward(self, dy, y):
        dx = memory.empty(y.shape, y.dtype)
        kernels.get("relu_backward", y.dtype)(dy, y, dx)
        return dx, {}


class LeakyReLU(Layer):
    """x above 0, `slope` times x below."""

    per_image = True
    recordable = True

    def __init__(self, slope: float = 0.01):
        self.slope = real(slope, "slope", low=-math.inf)

    def forward(self, x, train=False, rng=None):
        y = memory.empty(x.shape, x.dtype)
        kernels.get("leaky_relu_forward", x.dtype)(x, y, self.slope)
        return y, x

    def backward(self, dy, x):
        dx = memory.empty(x.shape, x.dtype)
        kernels.get("leaky_relu_backward", x.dtype)(dy, x, dx, self.slope)
        return dx, {}


class Sigmoid(Layer):
    """1 / (1 + exp(-x)), between 0 and 1."""

    per_image = True
    recordable = True

    def forward(self, x, train=False, rng=None):
        y = memory.empty(x.shape, x.dtype)
        kernels.get("sigmoid_forward", x.dtype)(x, y)
        return y, y

    def backward(self, dy, y):
        dx = memory.empty(y.shape, y.dtype)
        kernels.get("sigmoid_backward", y.dtype)(dy, y, dx)
        return dx, {}


class Tanh(Layer):
    """tanh(x), between -1 and 1."""

    per_image = True
    recordable = True

    def forward(self, x, train=False, rng=None):
        y = memory.empty(x.shape, x.dtype)
        kernels.get("tanh_forward", x.dtype)(x, y)
        return y, y

    def backward(self, dy, y):
        dx = memory.empty(y.shape, y.dtype)
        kernels.get("tanh_backward", y.dtype)(dy, y, dx)
        return dx, {}


class GELU(Layer):
    """x times the probability that a standard normal value is below x."""

    per_image = True
    recordable = True

    def forward(self, x, train=False, rng=None):
        y = memory.empty(x.shape, x.dtype)
        kernels.get("gelu_forward", x.dtype)(x, y)
        return y, x

    def backward(self, dy, x):
        dx = memory.empty(x.shape, x.dtype)
        kernels.get("gelu_backward", x.dtype)(dy, x, dx)
        return dx, {}
