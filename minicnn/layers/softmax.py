"""Softmax: scores (logits) to probabilities.

    y[n,k]  = exp(x[n,k]) / sum over j of exp(x[n,j])          computed after subtracting the largest x[n,:]
    dx[n,k] = y[n,k] * (dy[n,k] - sum over j of dy[n,j] * y[n,j])

x, y (N,K). A net that ends in Softmax is trained through its logits: the loss joins softmax and cross-entropy, whose
derivative is simpler and does not lose digits. Source: Goodfellow et al. 2016, section 6.2.2.3.
"""
from .. import kernels, memory
from .base import Layer, LayerError, Shape, batch_text


class Softmax(Layer):
    """Probabilities over the last axis: positive, with sum 1."""

    per_image = True
    recordable = True

    def build(self, input_shape: Shape, rng) -> Shape:
        if len(input_shape) != 1:
            raise LayerError(f"{self!r} got {batch_text(input_shape)}: put Flatten() before it.")
        return input_shape

    def forward(self, x, train=False, rng=None):
        y = memory.empty(x.shape, x.dtype)
        kernels.get("softmax_forward", x.dtype)(x, y)
        return y, y

    def backward(self, dy, y):
        dx = memory.empty(y.shape, y.dtype)
        kernels.get("softmax_backward", y.dtype)(dy, y, dx)
        return dx, {}
