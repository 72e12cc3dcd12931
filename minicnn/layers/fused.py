"""Neighbouring layers in one kernel: what the engine runs in place of Conv2D, ReLU and MaxPool2D side by side.

    BatchNorm, ReLU             z = norm(x),  y = relu(z)                 z is never stored; going back its sign is made anew
    Conv2D, ReLU                z = conv(x),  y = relu(z)                 z is never stored
    Conv2D, ReLU, MaxPool2D     y = largest relu(conv(x)) of a window     neither z nor relu(z) is ever stored; going back,
                                                                          only the winners of the windows count
The forward bits are those of the layers one by one; gradients of the pooled kind are the same sums in another order. The
layers stay what they are: they hold the weights, and get the gradients. With a kernel of the user's own
(`kernels.use(conv2d_forward=mine)`) nothing is fused, so that it is called.
"""
from __future__ import annotations

import numpy as np

from .. import kernels, memory
from ..kernels import winograd_choice
from .activations import ReLU
from .base import Layer, in_order
from .batchnorm import BatchNorm
from .conv2d import Conv2D
from .pool2d import MaxPool2D
from .windows import pads

MOST_PLACES = 254               # of a window: the argmax 255 means that no gradient passes


class Fused(Layer):
    """`parts`, in order, as one layer; the first has the params and the state."""

    per_image = True
    recordable = True

    def __init__(self, *parts: Layer):
        self.parts, self.first = parts, parts[0]
        self.name, self.stream = self.first.name, self.first.stream
        self.input_shape, self.output_shape = self.first.input_shape, parts[-1].output_shape

    @property
    def params(self):
        return self.first.params

    @property
    def state(self):
        return self.first.state


class BatchNormReLU(Fused):
    """ReLU while the normed values are in registers."""

    def whole_batch(self, train):
        return self.first.whole_batch(train)

    def forward(self, x, train=False, rng=None):
        return self.forward_shards([x], train, None, in_order)[0]

    def backward(self, dy, cache):
        (dx,), grads = self.backward_shards([dy], [cache], in_order)
        return dx, grads

    def forward_shards(self, xs, train, rngs, run):
        return self.first.forward_shards(xs, train, rngs, run, relu=True)

    def backward_shards(self, dys, caches, run):
        return self.first.backward_shards(dys, caches, run, relu=True)


class ConvReLU(Fused):
    """ReLU while the sums of the convolution are in registers."""

    def forward(self, x, train=False, rng=None):
        y = self.first.run("conv2d_relu_forward", x)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        return self.first.backward(self._through_relu(dy, y), x)

    def backward_weights(self, dy, cache):
        x, y = cache
        return self.first.backward_weights(self._through_relu(dy, y), x)

    def _through_relu(self, dy, y):
        return self.parts[1].backward(dy, y)[0]


class ConvReLUPool(Fused):
    """Convolution of stride 1, ReLU, and a max pool whose windows lie side by side."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self.by_winograd = _by_winograd(self.first)

    def _window(self, x_shape) -> tuple[int, ...]:
        top, _, left, _ = pads(self.first.padding, x_shape[1], x_shape[2], self.first.size, (1, 1))
        return *self.parts[2].size, top, left

    def forward(self, x, train=False, rng=None):
        if not train and self.by_winograd:      # fewer multiplications forward; going back, the winners are worth more
            for part in self.parts:
                x, _ = part.forward(x)
            return x, None
        y = memory.empty((len(x), *self.output_shape), x.dtype)
        argmax = memory.empty(y.shape, np.uint8)
        w, b = self.params["w"], self.first.bias_like(x)
        kernels.get("convpool2d_forward", x.dtype)(x, w, b, y, argmax, *self._window(x.shape))
        return y, (x, argmax)

    def backward(self, dy, cache):
        x, argmax = cache
        dx = memory.empty(x.shape, dy.dtype)
        kernels.get("convpool2d_backward_input", dy.dtype)(dy, argmax, self.params["w"], dx, *self._window(x.shape))
        return dx, self.backward_weights(dy, cache)

    def backward_weights(self, dy, cache):
        x, argmax = cache
        dw, db = self.first.gradients_like(x)
        kernels.get("convpool2d_backward_weight", dy.dtype)(x, dy, argmax, dw, db, *self._window(x.shape))
        return self.first.named(dw, db)

    def kept_bytes(self, input_shape, output_shape, itemsize):
        return super().kept_bytes(input_shape, output_shape, itemsize + 1)          # y and one byte of argmax


def fuse(layers) -> tuple[Layer, ...]:
    """`layers` with each run of them that a kernel covers replaced by one Fused layer."""
    fused, i = [], 0
    while i < len(layers):
        kinds = [type(layer) for layer in layers[i:i + 3]]
        if kinds == [Conv2D, ReLU, MaxPool2D] and _side_by_side(layers[i], layers[i + 2]):
            fused.append(ConvReLUPool(*layers[i:i + 3]))
        elif kinds[:2] == [Conv2D, ReLU] and not _by_winograd(layers[i]):
            fused.append(ConvReLU(*layers[i:i + 2]))
        elif kinds[:2] == [BatchNorm, ReLU]:
            fused.append(BatchNormReLU(*layers[i:i + 2]))
        else:
            fused.append(layers[i])
        i += len(parts_of(fused[-1]))
    return tuple(fused)


def parts_of(layer: Layer) -> tuple[Layer, ...]:
    """The layers of a net that this one runs."""
    return layer.parts if isinstance(layer, Fused) else (layer,)


def apart(layers, grads: list[dict]) -> list[dict]:
    """One dict of gradients for each layer of the net, from those of its fused `layers`."""
    return [grad for layer, of_layer in zip(layers, grads, strict=True)
            for grad in (of_layer, *({} for _ in parts_of(layer)[1:]))]


def _side_by_side(conv: Conv2D, pool: MaxPool2D) -> bool:
    size, padded = pool.size, any(pads(pool.padding, *conv.output_shape[:2], pool.size, pool.stride))
    return conv.stride == (1, 1) and pool.stride == size and not padded and size[0] * size[1] <= MOST_PLACES


def _by_winograd(conv: Conv2D) -> bool:
    """Whether the convolution alone takes a way that has no fused twin, and gains more by it."""
    top, _, left, _ = pads(conv.padding, *conv.input_shape[:2], conv.size, conv.stride)
    image, outputs = (1, *conv.input_shape), (1, *conv.output_shape)
    return winograd_choice.worth(conv.params["w"].shape, image, outputs, *conv.stride, top, left)
