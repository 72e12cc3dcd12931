"""2-D convolution (in the sense of the field: cross-correlation, the filter is not flipped).

    y[n,p,q,k]  = b[k] + sum over r,s,c of  xp[n, p*stride_h + r, q*stride_w + s, c] * w[r,s,c,k]
    dx: each x receives, from every window it lies in, dy of that window times the weight it met there
    dw[r,s,c,k] = sum over n,p,q of  xp[n, p*stride_h + r, q*stride_w + s, c] * dy[n,p,q,k]
    db[k]       = sum over n,p,q of  dy[n,p,q,k]

x (N,H,W,C), xp is x with its zero padding, w (R,S,C,K), b (K,), y (N,P,Q,K); P and Q as in windows.py.
Sources: LeCun et al. 1989, "Backpropagation applied to handwritten zip code recognition"; Goodfellow et al. 2016,
section 9.5.
"""
from __future__ import annotations

import numpy as np

from .. import initializers, kernels, memory
from ..arguments import flag, whole
from .base import Layer, Shape
from .windows import Padding, checked_padding, map_shape, output_extents, pads, pair


class Conv2D(Layer):
    """`filters` (K) filters of `size` x `size`. size, stride: int or (height, width); padding: see windows.py."""

    per_image = True
    recordable = True

    def __init__(self, filters: int, size: int | tuple[int, int], stride: int | tuple[int, int] = 1,
                 padding: Padding = "valid", bias: bool = True):
        self.filters = whole(filters, "filters", high=2**20)
        self.size, self.stride = pair(size, "size"), pair(stride, "stride")
        self.padding = checked_padding(padding)
        self.bias = flag(bias, "bias")

    def build(self, input_shape: Shape, rng) -> Shape:
        height, width, channels = map_shape(self, input_shape)
        p, q = output_extents(self, height, width)
        r, s = self.size
        self.params["w"] = initializers.he_normal((r, s, channels, self.filters), r * s * channels, rng)
        if self.bias:
            self.params["b"] = initializers.constant(0, (self.filters,), rng)
        return p, q, self.filters

    def forward(self, x, train=False, rng=None):
        return self.run("conv2d_forward", x), x

    def run(self, kernel: str, x):
        """y by the named kernel: with or without ReLU."""
        n, height, width, _ = x.shape
        y = memory.empty((n, *output_extents(self, height, width), self.filters), x.dtype)
        kernels.get(kernel, x.dtype)(x, self.params["w"], self.bias_like(x), y, *self.stride, *self._pad_top_left(x))
        return y

    def backward(self, dy, x):
        dx = memory.empty(x.shape, x.dtype)
        kernels.get("conv2d_backward_input", x.dtype)(dy, self.params["w"], dx, *self.stride, *self._pad_top_left(x))
        return dx, self.backward_weights(dy, x)

    def backward_weights(self, dy, x):
        dw, db = self.gradients_like(x)
        kernels.get("conv2d_backward_weight", x.dtype)(x, dy, dw, db, *self.stride, *self._pad_top_left(x))
        return self.named(dw, db)

    def bias_like(self, x):
        """b, or zeros."""
        return self.params["b"] if self.bias else np.zeros(self.filters, x.dtype)

    def gradients_like(self, x):
        """Room for dw and db."""
        return memory.empty(self.params["w"].shape, x.dtype), memory.empty((self.filters,), x.dtype)

    def named(self, dw, db) -> dict[str, np.ndarray]:
        """Gradients under the names of params."""
        return {"w": dw, "b": db} if self.bias else {"w": dw}

    def _pad_top_left(self, x) -> tuple[int, int]:
        top, _, left, _ = pads(self.padding, x.shape[1], x.shape[2], self.size, self.stride)
        return top, left

    def flops(self, input_shape, output_shape):
        p, q, k = output_shape
        return p * q * k * self.size[0] * self.size[1] * input_shape[-1]
