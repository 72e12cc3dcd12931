"""Layers one after the other, on the shards of a batch.

A stretch of layers that treat images one by one runs as a whole on each shard, so a shard's activations stay in the
cache of one core; a layer that needs the whole batch ends the stretch. Going back, dx passes the layers in reverse
order, and the shards' gradients are added in shard order.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np

from .base import Layer, check_backward, check_forward, pair_of


def flatten(layers) -> Iterator[Layer]:
    """All layers in order, each before the layers inside it."""
    for layer in layers:
        yield layer
        yield from flatten(layer.children)


def name_layers(layers) -> None:
    """Give each layer its name (conv2d_1: class name and a count from 1) and its stream of random numbers."""
    counts: dict[str, int] = {}
    for stream, layer in enumerate(flatten(layers)):
        kind = type(layer).__name__.lower()
        counts[kind] = counts.get(kind, 0) + 1
        layer.name, layer.stream = f"{kind}_{counts[kind]}", stream


def forward(layers, x, train, keys) -> tuple[np.ndarray, list]:
    """Layers on one shard: y, and a cache for each layer."""
    caches = []
    for layer in layers:
        y, cache = pair_of(layer, "forward", layer.forward(x, train, keys))
        x = check_forward(layer, y, len(x), x.dtype)
        caches.append(cache)
    return x, caches


def infer(layers, x) -> np.ndarray:
    """Layers on one shard in evaluation mode: y alone."""
    for layer in layers:
        y, _ = pair_of(layer, "forward", layer.forward(x, False, None))
        x = check_forward(layer, y, len(x), x.dtype)
    return x


def backward(layers, dy, caches, need_dx: bool = True) -> tuple[np.ndarray | None, list]:
    """Layers on one shard: dx, and a dict of gradients for each layer.

    Without need_dx, the first layer with weights makes their gradients alone, and those in front of it nothing.
    """
    first = 0 if need_dx else next((i for i, layer in enumerate(layers) if layer.params), len(layers))
    grads: list = [{} for _ in layers]
    for i in range(len(layers) - 1, first - 1, -1):
        layer, wanted = layers[i], need_dx or i > first
        if wanted:
            dx, grads[i] = pair_of(layer, "backward", layer.backward(dy, caches[i]))
        else:
            dx, grads[i] = None, layer.backward_weights(dy, caches[i])
        check_backward(layer, dx, (len(dy), *layer.input_shape), grads[i], dy.dtype, wanted)
        caches[i] = None                # its memory is free for the next layer's dx
        dy = dx
    return (dy if need_dx else None), grads


class OrderedSum:
    """Sums gradients in the order of their index, whatever the order in which they come."""

    def __init__(self):
        self.total: list = []
        self._next, self._waiting, self._lock = 0, {}, threading.Lock()

    def add(self, index: int, grads: list) -> None:
        """Take the gradients of shard `index`: a dict for each layer. Early ones wait for those before them."""
        with self._lock:
            self._waiting[index] = grads
            while self._next in self._waiting:
                part = self._waiting.pop(self._next)
                if self._next == 0:
                    self.total = [{name: np.array(grad) for name, grad in of_layer.items()} for of_layer in part]
                else:
                    for sums, of_layer in zip(self.total, part, strict=True):
                        for name, grad in of_layer.items():
                            sums[name] += grad
                self._next += 1


def forward_shards(layers, xs: list, train: bool, rngs: list, run: Callable) -> tuple[list, list]:
    """The shards' outputs, and caches[layer][shard]."""
    caches = []
    for whole, stretch in _stretches(layers, train):
        if whole:
            layer, = stretch
            pairs = layer.forward_shards(xs, train, rngs, run)
            xs = [check_forward(layer, y, len(x), x.dtype) for (y, _), x in zip(pairs, xs, strict=True)]
            caches.append([cache for _, cache in pairs])
        else:
            results = run(lambda x, keys, stretch=stretch: forward(stretch, x, train, keys), xs, rngs)
            xs = [y for y, _ in results]
            caches += [list(shards) for shards in zip(*(kept for _, kept in results), strict=True)]
    return xs, caches


def backward_shards(layers, dys: list, caches: list, train: bool, run: Callable,
                    need_dx: bool = True) -> tuple[list, list]:
    """The shards' dx (None each without need_dx), and one dict of gradients for each layer, summed over the shards.

    The list `caches` is emptied from its end, so that the memory behind it can be used again on the way.
    """
    grads: list = []
    for whole, stretch in reversed(_stretches(layers, train)):
        start = len(caches) - len(stretch)
        if whole:
            dxs, summed = stretch[0].backward_shards(dys, caches.pop(), run)
            for dx, dy in zip(dxs, dys, strict=True):
                check_backward(stretch[0], dx, (len(dy), *stretch[0].input_shape), summed, dy.dtype)
            grads = [summed, *grads]
        else:
            adder, wanted = OrderedSum(), need_dx or start > 0

            def back(index, dy, kept, stretch=stretch, adder=adder, wanted=wanted):
                dx, of_shard = backward(stretch, dy, kept, wanted)
                adder.add(index, of_shard)
                return dx

            kept = [list(of_shard) for of_shard in zip(*caches[start:], strict=True)]
            del caches[start:]
            dxs = run(back, list(range(len(dys))), dys, kept)
            grads = adder.total + grads
        dys = dxs
    return dys, grads


def _stretches(layers, train: bool) -> list[tuple[bool, list[Layer]]]:
    """(needs the whole batch, layers): each layer that does stands alone."""
    stretches: list[tuple[bool, list[Layer]]] = []
    for layer in layers:
        whole = layer.whole_batch(train)
        if whole or not stretches or stretches[-1][0]:
            stretches.append((whole, [layer]))
        else:
            stretches[-1][1].append(layer)
    return stretches
