"""A residual block: layers, and a shortcut around them.

    y  = layers(x) + shortcut(x)                                    an empty shortcut is the identity
    dx = (dx of layers, from dy) + (dx of shortcut, from dy)        the sum hands dy to both unchanged

x (N,H,W,C); both ways must end in the same shape. Source: He et al. 2016, "Deep residual learning", section 3.2.
"""
from __future__ import annotations

from types import MappingProxyType

import numpy as np

from .. import memory
from .base import Layer, LayerError, Shape, batch_text, build, in_order
from .chain import backward_shards, flatten, forward_shards, name_layers


class Residual(Layer):
    """params and state are those of the layers inside, named conv2d_2/w; change the arrays in place."""

    def __init__(self, layers: list[Layer], shortcut: list[Layer] = ()):
        self.layers, self.shortcut = tuple(layers), tuple(shortcut)
        self.children = self.layers + self.shortcut
        if not self.layers:
            raise ValueError("Residual needs at least one layer")
        if not all(isinstance(layer, Layer) for layer in self.children):
            raise TypeError("Residual takes lists of layers")
        name_layers(self.children)

    @property
    def params(self):
        return self._gathered("params")

    @property
    def state(self):
        return self._gathered("state")

    @property
    def per_image(self):
        return all(layer.per_image for layer in self.children)

    def build(self, input_shape: Shape, rng) -> Shape:
        ends = []
        for way in (self.layers, self.shortcut):
            shape = input_shape
            for number, layer in enumerate(way, 1):
                try:
                    shape = build(layer, shape, rng)
                except LayerError as error:
                    error.args = (f"{'shortcut' if way is self.shortcut else 'inner'} layer {number} {error}",)
                    raise
            ends.append(shape)
        if ends[0] != ends[1]:
            raise LayerError(f"Residual adds {batch_text(ends[0])} of its layers to {batch_text(ends[1])} of its "
                             "shortcut: the shapes must agree; put a 1x1 Conv2D on the shortcut.")
        return ends[0]

    def whole_batch(self, train):
        return any(layer.whole_batch(train) for layer in self.children)

    def forward(self, x, train=False, rng=None):
        return self.forward_shards([x], train, [rng], in_order)[0]

    def backward(self, dy, cache):
        (dx,), grads = self.backward_shards([dy], [cache], in_order)
        return dx, grads

    def forward_shards(self, xs, train, rngs, run):
        main, main_caches = forward_shards(self.layers, xs, train, rngs, run)
        short, short_caches = forward_shards(self.shortcut, xs, train, rngs, run)
        ys = run(_add, main, short)
        return [(y, (train, [c[i] for c in main_caches], [c[i] for c in short_caches])) for i, y in enumerate(ys)]

    def backward_shards(self, dys, caches, run):
        train = caches[0][0]
        main, main_grads = backward_shards(self.layers, dys, _by_layer(caches, 1), train, run)
        short, short_grads = backward_shards(self.shortcut, dys, _by_layer(caches, 2), train, run)
        grads = {}
        for layer, of_layer in zip(self.children, main_grads + short_grads, strict=True):
            prefix = "" if layer.children else f"{layer.name}/"         # a block inside has named its gradients already
            grads |= {prefix + key: grad for key, grad in of_layer.items()}
        return run(_add, main, short), grads

    def config(self):
        from . import to_spec
        return {"layers": list(map(to_spec, self.layers)), "shortcut": list(map(to_spec, self.shortcut))}

    @classmethod
    def from_config(cls, config, registry: dict | None = None):
        from . import from_spec
        if config.keys() != {"layers", "shortcut"}:
            raise ValueError(f"Residual needs layers and shortcut, got {sorted(config)}")
        return cls([from_spec(spec, registry) for spec in config["layers"]],
                   [from_spec(spec, registry) for spec in config["shortcut"]])

    def __repr__(self):
        shortcut = f", shortcut={list(self.shortcut)}" if self.shortcut else ""
        return f"Residual({list(self.layers)}{shortcut})"

    def flops(self, input_shape, output_shape):
        return sum(layer.flops(layer.input_shape, layer.output_shape) for layer in self.children)

    def kept_bytes(self, input_shape, output_shape, itemsize):
        inner = sum(layer.kept_bytes(layer.input_shape, layer.output_shape, itemsize) for layer in self.children)
        return inner + super().kept_bytes(input_shape, output_shape, itemsize)

    def _gathered(self, kind: str):
        leaves = (layer for layer in flatten(self.children) if not layer.children)
        return MappingProxyType({f"{layer.name}/{key}": array for layer in leaves
                                 for key, array in getattr(layer, kind).items()})


def _by_layer(caches, way: int) -> list[list]:
    """caches[shard][way][layer] as [layer][shard]."""
    return [list(shards) for shards in zip(*(cache[way] for cache in caches), strict=True)]


def _add(main, short):
    y = memory.empty(main.shape, main.dtype)
    return np.add(main, short, out=y)
