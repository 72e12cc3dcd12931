"""Recorded work on a shard: what layers do with n images, noted once and played back without Python (kernels/tape.py).

A small net's step is a few dozen kernel calls of some microseconds each; Python between them costs as much, and two threads
that both want the interpreter wait for each other. So the first shard of a size runs through the layers as ever, while its
kernel calls are recorded, and from then on the record is played.

A recording keeps its activations and gradients in memory of its own, which its next playing overwrites; whoever plays takes
out what must last: the losses, and the gradients by `add_gradients`. It holds for the arrays of weights it was made with;
`fits` says whether they are still the net's.
"""
from __future__ import annotations

import threading
from operator import is_

import numpy as np

from . import kernels, memory
from .layers import chain
from .random import Keys


def recordable(layers, train: bool) -> bool:
    """Whether these layers do nothing but call kernels on shards, on a machine that has tapes."""
    from .kernels import tape  # here, not above: a float64 net needs no compiler
    if not tape.available:
        return False
    ours = __package__ + ".layers"              # a user's subclass may do more than its base class, which is recordable
    return all(layer.recordable and type(layer).__module__.startswith(ours) and not layer.whole_batch(train) for layer in layers)


class _Recording:
    """Records `work` on stand-in arrays; the subclass says what the work is."""

    def __init__(self, layers, stand_ins: dict[str, np.ndarray], parts: int = 1):
        self.layers = layers
        self._weights = [(layer, kind, name, array) for layer in layers for kind in ("params", "state")
                         for name, array in getattr(layer, kind).items()]
        self._pool = memory.Pool(keep=True)
        self._tape = self._new_tape(parts)
        with memory.using(self._pool), kernels.recording(self._tape):
            self.work(**stand_ins)
        self._tape.close(**stand_ins)

    def _new_tape(self, parts: int = 1):
        from .kernels.tape import Tape
        return Tape(owned=self._pool.holds, parts=parts)

    def fits(self) -> bool:
        """Whether the net's weights are the arrays that were recorded."""
        for layer, kind, name, array in self._weights:
            if getattr(layer, kind).get(name) is not array:
                return False
        return True


class Inference(_Recording):
    """y of n images in evaluation mode; `y` is overwritten by the next playing. parts: threads that share one image."""

    def __init__(self, layers, x, parts: int = 1):
        super().__init__(layers, {"x": np.zeros(x.shape, x.dtype)}, parts)

    def work(self, x):
        self.y = chain.infer(self.layers, x)

    def play(self, x, start=None) -> np.ndarray:
        self._tape.play(start=start, x=x)
        return self.y


class Step(_Recording):
    """Forward, loss and backward of n images: `losses` (n,), and gradients that `add_gradients` adds to a total."""

    def __init__(self, layers, loss, x, keys: Keys):
        self.loss, self.seed = loss, keys.seed
        stand_ins = {"x": np.zeros(x.shape, x.dtype), "labels": np.zeros(len(x), np.int64), "samples": np.zeros(len(x), np.int64)}
        super().__init__(layers, stand_ins)
        self._places, self.size = [], 0                         # layer, name, first of the total, shape
        for layer, of_layer in enumerate(self.grads):
            for name, grad in of_layer.items():
                self._places.append((layer, name, self.size, grad.shape))
                self.size += grad.size
        self._sums, total = self._new_tape(), np.zeros(self.size, np.float32)
        with kernels.recording(self._sums):
            for grads, sums in zip(self.grads, self.views(total), strict=True):
                for name, grad in grads.items():
                    kernels.get("accumulate", grad.dtype)(grad, sums[name])
        self._sums.close(total=total)

    def work(self, x, labels, samples):
        logits, kept = chain.forward(self.layers, x, True, Keys(self.seed, 0, samples))
        self.losses = self.loss.forward(logits, labels)
        _, self.grads = chain.backward(self.layers, self.loss.backward(logits, labels, 1.0), kept, need_dx=False)

    def play(self, x, labels, keys: Keys, scale: float) -> np.ndarray:
        """Each image's loss; overwritten by the next playing."""
        self._tape.play({"epoch": keys.epoch, "scale": scale}, x=x, labels=labels, samples=keys.samples)
        return self.losses

    def add_gradients(self, total: np.ndarray) -> None:
        """total (size,) += the gradients of the last playing."""
        self._sums.play(total=total)

    def views(self, total: np.ndarray) -> list[dict[str, np.ndarray]]:
        """`total` cut into the gradients: one dict for each layer."""
        grads = [{} for _ in self.grads]
        for layer, name, first, shape in self._places:
            grads[layer][name] = np.ndarray(shape, total.dtype, total, first * total.itemsize)
        return grads


def _zeros(size: int) -> np.ndarray:
    zeros = memory.empty((size,), np.float32)
    zeros.fill(0)
    return zeros


class OrderedTotal:
    """The total of the shards' gradients, added in shard order, whatever the order in which they come.

    The shard whose turn it is adds straight from its recording; one that comes early leaves a copy.
    """

    def __init__(self):
        self.total, self._views, self._next, self._waiting, self._lock = None, None, 0, {}, threading.Lock()

    def add(self, index: int, step: Step) -> None:
        """Take the gradients of shard `index` out of its recording."""
        with self._lock:
            if self.total is None:
                self.total = _zeros(step.size)
                self._views = step.views(self.total)
            early = self._next != index
        part = _zeros(step.size) if early else self.total
        step.add_gradients(part)                # no other shard is `next`: nobody else touches the total
        with self._lock:
            if early:
                self._waiting[index] = part
            else:
                self._next += 1
            while self._next in self._waiting:
                self.total += self._waiting.pop(self._next)
                self._next += 1

    def grads(self) -> list[dict[str, np.ndarray]]:
        """One dict for each layer: views of the total."""
        return self._views


class Gradients(list):
    """A dict of gradients for each layer, all of them views of one array, `total`, in the same places at every step."""

    def __init__(self, of_layers, total: np.ndarray):
        super().__init__(of_layers)
        self.total = total


class Update:
    """An optimizer's update of all params, recorded while it was done: `play` does it again with other Gradients."""

    def __init__(self, update, optimizer, arrays: list[np.ndarray], grads: Gradients):
        from .kernels.tape import Tape
        self._arrays, self._settings, self._tape = arrays, dict(vars(optimizer)), Tape()
        with kernels.recording(self._tape):
            update()
        self._tape.close(total=grads.total)

    def fits(self, optimizer, arrays: list[np.ndarray]) -> bool:
        """Whether these are the params and slots that were recorded, in the same order, and the optimizer is set as it was."""
        return self._settings == vars(optimizer) and len(arrays) == len(self._arrays) and all(map(is_, arrays, self._arrays))

    def play(self, step: int, lr: float, grads: Gradients) -> None:
        self._tape.play({"step": step, "lr": lr}, total=grads.total)


class Recordings:
    """The recordings of one worker of the engine, by kind of work and number of images.

    One that plays is out of the shelf, since two callers of a net may be the same worker at the same time.
    """

    MOST = 16               # batches of many sizes are recorded anew rather than kept

    def __init__(self):
        self._shelf: list[tuple] = []           # (key, recording), the last used at the end
        self._lock = threading.Lock()

    def take(self, key, make):
        """The recording under this key, made if it is missing, in use, or does not fit the weights any more.

        Whoever has played it gives it back; after an error it is left to be made anew.
        """
        with self._lock:
            for i in range(len(self._shelf) - 1, -1, -1):
                if self._shelf[i][0] == key:
                    recording = self._shelf.pop(i)[1]
                    break
            else:
                recording = None
        return recording if recording is not None and recording.fits() else make()

    def give(self, key, recording) -> None:
        """Back to the shelf, to be taken again."""
        with self._lock:
            self._shelf.append((key, recording))
            del self._shelf[:-self.MOST]
