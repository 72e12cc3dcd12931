"""Dropout: in training each value is dropped with probability `rate`, the others grow by 1 / (1 - rate).

    y  = x  * mask / (1 - rate)          mask is 1 with probability 1 - rate, else 0; with train=False y is x itself
    dx = dy * mask / (1 - rate)

x, y (N, ...), mask (N,E) uint8 with E values per image. The mask is a pure function of (seed, stream, epoch, sample) by
Philox4x32-10 (Salmon et al. 2011): no generator to save, the same bits for any batch order, shard or thread.
Source: Srivastava et al. 2014, "Dropout", section 4, in the "inverted" form that leaves inference alone (section 10).
"""
from __future__ import annotations

import math

import numpy as np

from .. import kernels, memory
from ..arguments import real
from .base import Layer


class Dropout(Layer):
    """Drops values with probability `rate`; `forward(x, train=True)` needs `rng`, the keys of the batch."""

    per_image = True
    recordable = True

    def __init__(self, rate: float):
        self.rate = real(rate, "rate", below=1)

    def forward(self, x, train=False, rng=None):
        if not train:
            return x, None
        if rng is None:
            raise ValueError(f"{self!r} needs random keys in training: rng=Keys(seed, epoch, samples)")
        n, e = x.shape[0], math.prod(x.shape[1:])
        y, mask = memory.empty((n, e), x.dtype), memory.empty((n, e), np.uint8)
        kernels.get("dropout_forward", x.dtype)(
            x.reshape(n, e), rng.samples, y, mask, rng.seed, self.stream, rng.epoch, self.rate)
        return y.reshape(x.shape), mask

    def backward(self, dy, mask):
        if mask is None:
            return dy, {}
        dx = memory.empty(mask.shape, dy.dtype)
        kernels.get("dropout_backward", dy.dtype)(dy.reshape(mask.shape), mask, dx, self.rate)
        return dx.reshape(dy.shape), {}

    def kept_bytes(self, input_shape, output_shape, itemsize):
        return super().kept_bytes(input_shape, output_shape, itemsize + 1)          # y and one byte of mask
