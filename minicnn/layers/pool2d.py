"""Pooling: each window of a map becomes one number, channel by channel.

    max            y[n,p,q,c] = max over r,s of  xp[n, p*stride_h + r, q*stride_w + s, c]         xp padded with -inf
                   dy goes to the x that won: the first NaN if there is one, the first in (r, s) order of equal ones
    average        y[n,p,q,c] = (1 / (size_h * size_w)) * sum over r,s of xp[...]                 xp padded with 0
                   every x of the window receives dy / (size_h * size_w)
    global average y[n,c]     = (1 / (H*W)) * sum over h,w of x[n,h,w,c]
                   every x receives dy / (H*W)

x (N,H,W,C), y (N,P,Q,C); P and Q as in windows.py, rounded down. The average divides by the whole window, padding
included. Windows have at most 255 taps: the winner's place r*size_w + s is kept as one byte (argmax).
Source: Goodfellow et al. 2016, section 9.3; Lin et al. 2014, "Network in network", section 3.2 (global average).
"""
from __future__ import annotations

import numpy as np

from .. import kernels, memory
from .base import Layer, Shape
from .windows import Padding, checked_padding, map_shape, output_extents, pads, pair

MOST_TAPS = 255


class _Pool2D(Layer):
    """Windows of `size`, by default side by side (stride = size)."""

    per_image = True
    recordable = True

    def __init__(self, size: int | tuple[int, int], stride: int | tuple[int, int] | None = None, padding: Padding = 0):
        self.size = pair(size, "size")
        self.stride = self.size if stride is None else pair(stride, "stride")
        self.padding = checked_padding(padding)
        if self.size[0] * self.size[1] > MOST_TAPS:
            raise ValueError(f"a pool's window has at most {MOST_TAPS} taps, got {self.size[0]}x{self.size[1]}")
        top, bottom, left, right = pads(self.padding, 1, 1, self.size, self.stride)
        if max(top, bottom) >= self.size[0] or max(left, right) >= self.size[1]:
            raise ValueError(f"a pool's padding must be smaller than its window, got {padding} for {size}")

    def build(self, input_shape: Shape, rng) -> Shape:
        height, width, channels = map_shape(self, input_shape)
        return *output_extents(self, height, width), channels

    def config(self):
        return super().config() | {"stride": None if self.stride == self.size else self.stride}

    def _window(self, x_shape) -> tuple[int, ...]:
        """The integers of a pool kernel: size, stride, pad_top and pad_left."""
        top, _, left, _ = pads(self.padding, x_shape[1], x_shape[2], self.size, self.stride)
        return *self.size, *self.stride, top, left

    def _output(self, x):
        return memory.empty((x.shape[0], *output_extents(self, x.shape[1], x.shape[2]), x.shape[3]), x.dtype)


class MaxPool2D(_Pool2D):
    """The largest value of each window."""

    def forward(self, x, train=False, rng=None):
        y = self._output(x)
        argmax = memory.empty(y.shape, np.uint8)
        kernels.get("maxpool2d_forward", x.dtype)(x, y, argmax, *self._window(x.shape))
        return y, (argmax, x.shape)

    def backward(self, dy, cache):
        argmax, x_shape = cache
        dx = memory.empty(x_shape, dy.dtype)
        kernels.get("maxpool2d_backward", dy.dtype)(dy, argmax, dx, *self._window(x_shape))
        return dx, {}

    def kept_bytes(self, input_shape, output_shape, itemsize):
        return super().kept_bytes(input_shape, output_shape, itemsize + 1)          # y and one byte of argmax


class AvgPool2D(_Pool2D):
    """The mean of each window."""

    def forward(self, x, train=False, rng=None):
        y = self._output(x)
        kernels.get("avgpool2d_forward", x.dtype)(x, y, *self._window(x.shape))
        return y, x.shape

    def backward(self, dy, x_shape):
        dx = memory.empty(x_shape, dy.dtype)
        kernels.get("avgpool2d_backward", dy.dtype)(dy, dx, *self._window(x_shape))
        return dx, {}


class GlobalAvgPool2D(Layer):
    """The mean of each whole channel: (N,H,W,C) -> (N,C)."""

    per_image = True
    recordable = True

    def build(self, input_shape: Shape, rng) -> Shape:
        return map_shape(self, input_shape)[2:]

    def forward(self, x, train=False, rng=None):
        y = memory.empty((x.shape[0], x.shape[3]), x.dtype)
        kernels.get("global_avgpool2d_forward", x.dtype)(x, y)
        return y, x.shape

    def backward(self, dy, x_shape):
        dx = memory.empty(x_shape, dy.dtype)
        kernels.get("global_avgpool2d_backward", dy.dtype)(dy, dx)
        return dx, {}
