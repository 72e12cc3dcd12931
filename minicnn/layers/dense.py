"""Fully connected layer: every output sees every input.

    y[n,k]  = b[k] + sum over c of  x[n,c] * w[c,k]
    dx[n,c] = sum over k of  dy[n,k] * w[c,k]
    dw[c,k] = sum over n of  x[n,c] * dy[n,k]
    db[k]   = sum over n of  dy[n,k]

x (N,C), w (C,K), b (K,), y (N,K). Source: Goodfellow et al. 2016, section 6.5 (equation 6.47 and algorithm 6.4).
"""
from __future__ import annotations

import numpy as np

from .. import initializers, kernels, memory
from ..arguments import flag, whole
from .base import Layer, LayerError, Shape, batch_text


class Dense(Layer):
    """`units` (K) weighted sums of the whole input."""

    per_image = True
    recordable = True

    def __init__(self, units: int, bias: bool = True):
        self.units = whole(units, "units", high=2**20)
        self.bias = flag(bias, "bias")

    def build(self, input_shape: Shape, rng) -> Shape:
        if len(input_shape) != 1:
            raise LayerError(f"{self!r} got {batch_text(input_shape)}: put Flatten() before it.")
        channels, = input_shape
        self.params["w"] = initializers.glorot_uniform((channels, self.units), channels, self.units, rng)
        if self.bias:
            self.params["b"] = initializers.constant(0, (self.units,), rng)
        return self.units,

    def forward(self, x, train=False, rng=None):
        y = memory.empty((x.shape[0], self.units), x.dtype)
        b = self.params["b"] if self.bias else np.zeros(self.units, x.dtype)
        kernels.get("dense_forward", x.dtype)(x, self.params["w"], b, y)
        return y, x

    def backward(self, dy, x):
        dx = memory.empty(x.shape, x.dtype)
        kernels.get("dense_backward_input", x.dtype)(dy, self.params["w"], dx)
        return dx, self.backward_weights(dy, x)

    def backward_weights(self, dy, x):
        dw = memory.empty(self.params["w"].shape, x.dtype)
        db = memory.empty((self.units,), x.dtype)
        kernels.get("dense_backward_weight", x.dtype)(x, dy, dw, db)
        return {"w": dw, "b": db} if self.bias else {"w": dw}

    def flops(self, input_shape, output_shape):
        return input_shape[0] * self.units
