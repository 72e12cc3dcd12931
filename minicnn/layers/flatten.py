"""Maps to vectors: y[n, (h*W + w)*C + c] = x[n,h,w,c], and dx is dy in the shape of x.

x (N,H,W,C), y (N,H*W*C). Channels last is the order in memory, so both directions are views and copy nothing.
"""
import math

from .base import Layer, Shape


class Flatten(Layer):
    """(N,H,W,C) -> (N,H*W*C), between the maps and the first Dense."""

    per_image = True
    recordable = True

    def build(self, input_shape: Shape, rng) -> Shape:
        return math.prod(input_shape),

    def forward(self, x, train=False, rng=None):
        return x.reshape(x.shape[0], math.prod(x.shape[1:])), x.shape

    def backward(self, dy, x_shape):
        return dy.reshape(x_shape), {}

    def kept_bytes(self, input_shape, output_shape, itemsize):
        return 0                                                                    # a view of x
