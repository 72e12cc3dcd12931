"""One training step on one thread, layer by layer, with a stopwatch on every call.

    head forward    all shards, stretch by stretch                  head: all layers up to the last one that needs the
    tail            per shard: forward, loss, backward              whole batch, as in engine.py
    head backward   all shards, stretch by stretch
    update          every parameter, with a learning rate of 0

Shards and their order are the engine's, so a layer finds in the cache what it would find there in training. Only `forward`
and `backward` of the layers are called: what the engine does with several layers at once is not in here.

What is counted: multiply-adds by `Layer.flops`, twice as many flops; backward costs as much as forward for dx, where dx is
asked for, and once more for the gradients of weights. Bytes are those of x, y, weights, and of what the cache holds besides
on the way forward; of dy, dx, the cache, weights (for dx) and their gradients on the way back: each array once, however
often the kernel reads it, and nothing for a layer that returns a view.
"""
from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from .. import memory
from ..layers import Residual
from ..layers.base import Layer, check_forward, in_order
from ..random import Keys
from ..recipe import default_optimizer

FORWARD, BACKWARD, UPDATE = "forward", "backward", "update"


@dataclass
class Cost:
    """What a layer cost in one pass, in one direction, all its calls together."""

    seconds: float = 0.0
    flops: int = 0
    bytes: int = 0
    calls: int = 0


class Walk:
    """Passes over the layers of `net`, whose running statistics move: give it a twin. labels as `loss` wants them."""

    def __init__(self, net, x: np.ndarray, labels: np.ndarray, loss, optimizer=None):
        self.layers, self.loss = net.logit_layers, loss
        cuts, keys = net.engine.shards(len(x)), Keys(0, 0, np.arange(len(x)))
        self.xs, self.labels = [x[cut] for cut in cuts], [labels[cut] for cut in cuts]
        self.keys = [keys.shard(cut.start, cut.stop) for cut in cuts]
        self.scale = 1.0 / loss.denominator(labels, x.dtype)
        self.pool, self.optimizer = memory.Pool(), optimizer or default_optimizer()
        self.slots: dict[str, dict] = {}
        self.costs: dict[tuple[str, str], Cost] = {}
        self.grads: dict[str, np.ndarray] = {}
        self.made: dict[str, Layer] = {}        # the layer behind each name, in the order of their forward passes
        self.at = ""                            # the name of what is running

    def run(self) -> dict[tuple[str, str], Cost]:
        """One pass; the cost of each (layer's name, direction)."""
        self.costs, self.grads = {}, {}
        border = max((i + 1 for i, layer in enumerate(self.layers) if layer.whole_batch(True)), default=0)
        head, tail = self.layers[:border], self.layers[border:]
        with memory.using(self.pool):
            xs, caches = self._forward(head, self.xs, self.keys, "")
            dys = [self._tail(tail, *shard, bool(head)) for shard in zip(xs, self.labels, self.keys, strict=True)]
            del xs
            if head:
                self._backward(head, dys, caches, False, "")
            self._update()
        return self.costs

    def _tail(self, layers, x, labels, keys, need_dx: bool):
        (logits,), caches = self._forward(layers, [x], [keys], "")
        self.at = "loss"
        start = time.perf_counter()
        self.loss.forward(logits, labels)
        middle = time.perf_counter()
        dlogits = self.loss.backward(logits, labels, self.scale)
        end = time.perf_counter()
        self._add("loss", FORWARD, middle - start, 0, logits.nbytes + labels.nbytes)
        self._add("loss", BACKWARD, end - middle, 0, logits.nbytes + labels.nbytes + dlogits.nbytes)
        return self._backward(layers, [dlogits], caches, need_dx, "")[0]

    def _forward(self, layers, xs: list, keys: list, path: str) -> tuple[list, list]:
        """The shards' outputs, and caches[layer][shard]."""
        caches: list = []
        for whole, group in groupby(layers, lambda layer: layer.whole_batch(True)):
            group = list(group)
            kept = [[None] * len(xs) for _ in group]
            if whole:
                for k, layer in enumerate(group):
                    xs, kept[k] = self._layer_forward(layer, xs, keys, path)
            else:
                xs = list(xs)
                for i, key in enumerate(keys):
                    for k, layer in enumerate(group):
                        (xs[i],), (kept[k][i],) = self._layer_forward(layer, [xs[i]], [key], path)
            caches += kept
        return xs, caches

    def _backward(self, layers, dys: list, caches: list, need_dx: bool, path: str) -> list:
        """The shards' dx; without need_dx, the first layer with weights makes their gradients alone, as in training."""
        first = 0 if need_dx else next((i for i, layer in enumerate(layers) if layer.params), len(layers))
        there = list(zip(layers, caches, strict=True))[first:]
        for whole, group in groupby(reversed(list(enumerate(there))), lambda pair: pair[1][0].whole_batch(True)):
            group = [(layer, kept, need_dx or k > 0) for k, (layer, kept) in group]
            if whole:
                for layer, kept, wanted in group:
                    dys = self._layer_backward(layer, dys, kept, wanted, path)
            else:
                dys = list(dys)
                for i in range(len(dys)):
                    for layer, kept, wanted in group:
                        dys[i], = self._layer_backward(layer, [dys[i]], [kept[i]], wanted, path)
                        kept[i] = None
        return dys

    def _layer_forward(self, layer: Layer, xs: list, keys: list, path: str) -> tuple[list, list]:
        name = path + layer.name
        self.made.setdefault(name, layer)
        if isinstance(layer, Residual):
            main, kept = self._forward(layer.layers, xs, keys, f"{name}/")
            short, kept_short = self._forward(layer.shortcut, xs, keys, f"{name}/")
            ys = self._sum(name, FORWARD, main, short)
            return ys, [([c[i] for c in kept], [c[i] for c in kept_short]) for i in range(len(xs))]
        self.at, whole = name, layer.whole_batch(True)
        start = time.perf_counter()
        pairs = layer.forward_shards(xs, True, keys, in_order) if whole else [layer.forward(xs[0], True, keys[0])]
        seconds = time.perf_counter() - start
        ys = [check_forward(layer, y, len(x), x.dtype) for (y, _), x in zip(pairs, xs, strict=True)]
        caches = [cache for _, cache in pairs]
        known = [*xs, *ys, *layer.params.values()]
        extra = [one for one in arrays(caches) if not any(np.may_share_memory(one, other) for other in known)]
        moved = sum(x.nbytes + y.nbytes for x, y in zip(xs, ys, strict=True) if not np.may_share_memory(x, y))
        self._add(name, FORWARD, seconds, _flops(layer, xs), moved + _bytes(extra), _bytes(layer.params.values()))
        return ys, caches

    def _layer_backward(self, layer: Layer, dys: list, caches: list, wanted: bool, path: str) -> list:
        name = path + layer.name
        if isinstance(layer, Residual):
            kept, kept_short = ([list(one) for one in zip(*way, strict=True)] for way in zip(*caches, strict=True))
            main = self._backward(layer.layers, dys, kept, True, f"{name}/")
            short = self._backward(layer.shortcut, dys, kept_short, True, f"{name}/")
            return self._sum(name, BACKWARD, main, short)
        self.at, whole = name, layer.whole_batch(True)
        start = time.perf_counter()
        if whole:
            dxs, grads = layer.backward_shards(dys, caches, in_order)
        elif wanted:
            dx, grads = layer.backward(dys[0], caches[0])
            dxs = [dx]
        else:
            dxs, grads = [None], layer.backward_weights(dys[0], caches[0])
        seconds = time.perf_counter() - start
        for key, grad in grads.items():
            known = self.grads.get(f"{name}/{key}")
            self.grads[f"{name}/{key}"] = grad if known is None else known + grad
        made = wanted or whole
        there = [(dx, dy) for dx, dy in zip(dxs, dys, strict=True) if dx is None or not np.may_share_memory(dx, dy)]
        moved = sum(dy.nbytes + (0 if dx is None else dx.nbytes) for dx, dy in there) + (_bytes(arrays(caches)) if there else 0)
        weights = _bytes(grads.values()) + (_bytes(layer.params.values()) if made else 0)
        times = made + bool(layer.params)
        self._add(name, BACKWARD, seconds, times * _flops(layer, dys), moved, weights)
        return dxs

    def _sum(self, name: str, way: str, main: list, short: list) -> list:
        """The addition at the end of a residual block."""
        start = time.perf_counter()
        ys = [np.add(a, b, out=memory.empty(a.shape, a.dtype)) for a, b in zip(main, short, strict=True)]
        self._add(name, way, time.perf_counter() - start, 0, 3 * _bytes(ys))
        return ys

    def _update(self) -> None:
        params = {f"{name}/{key}": param for name, layer in self.made.items() if not layer.children
                  for key, param in layer.params.items()}
        for key, param in params.items():
            if key not in self.slots:
                self.slots[key] = self.optimizer.slots(param)
        self.at = UPDATE
        start = time.perf_counter()
        for key, param in params.items():
            self.optimizer.update(param, self.grads[key], self.slots[key], 1, 0.0)
        seconds = time.perf_counter() - start
        state = [array for slots in self.slots.values() for array in slots.values()]
        if params:
            self._add(UPDATE, UPDATE, seconds, 0, 3 * _bytes(params.values()) + 2 * _bytes(state))      # dw; w and slots twice

    def _add(self, name: str, way: str, seconds: float, flops: int, moved: int, once: int = 0) -> None:
        """once: bytes that all calls of a pass share."""
        cost = self.costs.setdefault((name, way), Cost())
        cost.bytes += moved + (once if cost.calls == 0 else 0)
        cost.seconds += seconds
        cost.flops += flops
        cost.calls += 1


def arrays(cache) -> list[np.ndarray]:
    """The arrays in a cache or a list of caches, each once."""
    found: dict[int, np.ndarray] = {}
    waiting = [cache]
    while waiting:
        one = waiting.pop()
        if isinstance(one, np.ndarray):
            found[id(one)] = one
        elif isinstance(one, tuple | list | dict):
            waiting += one.values() if isinstance(one, dict) else one
    return list(found.values())


def _bytes(many) -> int:
    return sum(one.nbytes for one in many)


def _flops(layer: Layer, batches: list) -> int:
    """Of one direction; a multiply-add counts as two."""
    return 2 * sum(map(len, batches)) * layer.flops(layer.input_shape, layer.output_shape)
