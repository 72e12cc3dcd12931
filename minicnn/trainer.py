"""One training step: forward, loss, backward, update; and the state that makes a later step equal.

    g = d/dw of  sum over images of loss[n] / denominator,      w, slots = optimizer.update(w, g, slots, step, lr)

With `accumulate=a`, the gradients of a calls are averaged and the weights move at every a-th. The loss and every gradient
are tested for NaN and infinity before the weights are touched.
"""
from __future__ import annotations

import math

import numpy as np

from . import kernels, recorded
from .arguments import whole
from .engine import Engine
from .errors import Diverged
from .layers.base import Layer
from .losses import SoftmaxCrossEntropy
from .optim import SGD, Adam, AdamW
from .random import Keys
from .sequential import Sequential


class Trainer:
    """Trains `net` in place.

    optimizer: SGD(0.01) by default.  loss: SoftmaxCrossEntropy() by default.  threads: None for the net's own engine.
    seed: of dropout's masks.  accumulate: calls of `step` that make one update.
    lr: the learning rate of the next update; the optimizer's own at first, a schedule may set it before each step.
    """

    def __init__(self, net: Sequential, optimizer=None, loss=None, threads: int | None = None, seed: int = 0,
                 accumulate: int = 1):
        self.net, self.loss = net, loss or SoftmaxCrossEntropy()
        self.optimizer = optimizer or SGD(0.01)
        self.engine = net.engine if threads is None else Engine(net.layers, net.input_shape, threads)
        self.seed, self.accumulate, self.lr = seed, whole(accumulate, "accumulate"), self.optimizer.lr
        self.step_count = 0                     # updates made
        self._held: list = []                   # gradients of the calls since the last update
        self._recorded: recorded.Update | None = None
        self.slots = {key: self.optimizer.slots(param) for key, param in self._params().items()}

    def step(self, x, labels, samples=None, epoch: int | None = None) -> float:
        """One batch: x (N, *input_shape), labels as the loss wants them; returns the batch's mean loss, before the update.

        samples, epoch: (N,) the images' indices in their data set, and the pass over it; both key dropout's masks. By
        default 0 .. N-1 and the number of calls so far, so that each call draws masks of its own.
        Raises Diverged, with weights, state and slots as they were (running statistics of batch norm excepted).
        """
        x = self.net.as_batch(x, self.net.input_shape, "x")
        labels = np.asarray(labels)
        if len(x) == 0 or len(x) != len(labels):
            raise ValueError(f"a step needs as many labels as images and at least one: got {len(x)} images, {len(labels)} labels")
        epoch = self.step_count * self.accumulate + len(self._held) if epoch is None else epoch
        samples = np.arange(len(x)) if samples is None else np.asarray(samples, np.int64)
        losses, grads = self.engine.step(x, labels, self.loss, Keys(self.seed, epoch, samples), self.net.logit_layers)
        loss = float(losses.sum(dtype=np.float64) / self.loss.denominator(labels, x.dtype))
        self._refuse_non_finite(loss, grads, x)
        self._held.append(grads)
        if len(self._held) == self.accumulate:
            self._update()
        return loss

    def _update(self) -> None:
        self.step_count += 1
        held, params, recordable = self._held, self._params(), type(self.optimizer) in (SGD, Adam, AdamW)
        if len(held) == 1 and isinstance(held[0], recorded.Gradients) and recordable and not kernels.replaced():
            arrays = [*params.values(), *(array for slots in self.slots.values() for array in slots.values())]
            if self._recorded is not None and self._recorded.fits(self.optimizer, arrays):
                self._recorded.play(self.step_count, self.lr, held[0])
            else:
                self._recorded = recorded.Update(lambda: self._update_each(params), self.optimizer, arrays, held[0])
        else:
            self._update_each(params)
        self._held = []

    def _update_each(self, params: dict[str, np.ndarray]) -> None:
        for layer, *parts in zip(self.net.logit_layers, *self._held, strict=True):
            for name in parts[0]:
                grad = parts[0][name]
                for part in parts[1:]:
                    grad += part[name]
                if len(parts) > 1:
                    grad /= len(parts)
                key = f"{layer.name}/{name}"
                self.optimizer.update(params[key], grad, self.slots[key], self.step_count, self.lr)

    def _params(self) -> dict[str, np.ndarray]:
        """"conv2d_1/w" -> the array, of all layers that train; a Residual's are its own layers', as "residual_1/conv2d_2/w"."""
        return {f"{layer.name}/{name}": param for layer in self.net.logit_layers for name, param in layer.params.items()}

    # ---- what a later step depends on ----

    def state(self) -> dict[str, np.ndarray]:
        """Copies of weights, running statistics, the optimizer's slots and the step, under flat names.

        Raises ValueError between the calls that accumulate one update.
        """
        if self._held:
            raise ValueError(f"{len(self._held)} of {self.accumulate} gradients are held; save after the update")
        tensors = {name: array.copy() for name, array in self.net.tensors().items()}
        for key, slots in self.slots.items():
            tensors |= {f"optimizer/{key}/{name}": array.copy() for name, array in slots.items()}
        return tensors | {"counters/step": np.array(self.step_count, np.int64)}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `state()` returned. Raises ValueError, and changes nothing, for other names, shapes or types."""
        own = {f"optimizer/{key}/{name}": array for key, slots in self.slots.items() for name, array in slots.items()}
        weights = {name: array for name, array in state.items() if name.startswith(("params/", "state/"))}
        rest = {name: array for name, array in state.items() if name not in weights}
        if rest.keys() != own.keys() | {"counters/step"}:
            names = sorted(rest.keys() ^ (own.keys() | {"counters/step"}))
            raise ValueError(f"this state is of another optimizer: {names} differ")
        for name, array in own.items():
            if rest[name].shape != array.shape or rest[name].dtype != array.dtype:
                raise ValueError(f"{name} is {rest[name].dtype} {rest[name].shape}, expected {array.dtype} {array.shape}")
        self.net.load_tensors(weights)
        for name, array in own.items():
            array[...] = rest[name]
        self.step_count, self._held = int(rest["counters/step"]), []

    # ---- NaN and infinity ----

    def _refuse_non_finite(self, loss: float, grads: list, x: np.ndarray) -> None:
        with np.errstate(over="ignore", invalid="ignore"):      # a sum is quick; one that overflows is looked at again below
            arrays = [grads.total] if isinstance(grads, recorded.Gradients) else \
                [grad for of_layer in grads for grad in of_layer.values()]
            sums = [np.add.reduce(array, None) for array in arrays]
        if all(map(math.isfinite, [loss, *sums])):
            return
        bad = [(layer, name) for layer, of_layer in zip(self.net.logit_layers, grads, strict=True)
               for name, grad in of_layer.items() if not np.isfinite(grad).all()]
        if np.isfinite(loss) and not bad:
            return
        self._held = []
        layer, tensor = self._first_non_finite(x) or (bad[-1] if bad else (self.net.logit_layers[-1], "loss"))
        tensor = f"d{tensor}" if tensor in layer.params and np.isfinite(layer.params[tensor]).all() else tensor
        step = self.step_count + 1
        raise Diverged(f"not finite at step {step}: loss {loss:.4g}, first in {tensor} of {_title(self.net, layer)}",
                       step, layer.name, tensor)

    def _first_non_finite(self, x: np.ndarray) -> tuple[Layer, str] | None:
        """The first layer whose weights or output in evaluation mode are not finite; none: it arose on the way back."""
        if not np.isfinite(x).all():
            return self.net.layers[0], "x"
        for layer in self.net.logit_layers:
            for name, param in sorted(layer.params.items()):
                if not np.isfinite(param).all():
                    return layer, name
            x = layer.forward(x, False, None)[0]
            if not np.isfinite(x).all():
                return layer, "y"
        return None


def _title(net: Sequential, layer: Layer) -> str:
    """layer 5 (dense_1)."""
    return f"layer {net.layers.index(layer) + 1} ({layer.name})"
