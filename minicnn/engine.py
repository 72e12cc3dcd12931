"""The engine: cuts a batch into shards, runs stretches of layers on a pool of threads, adds up the shards' gradients.

The bounds of the shards depend on shapes alone, the net's and the batch's: about so many images that their activations
stay close to one core while all layers of a stretch pass over them, forward and backward. Gradients are added in shard
order. So who computes what never changes a bit: 1, 2 or 7 threads give the same weights.

    step:   head | tail        head: all layers up to the last one that needs the whole batch (often none)
            head forward       stretch by stretch over all shards (layers/chain.py)
            tail               per shard in one go: forward, loss, backward
            head backward      stretch by stretch over all shards
"""
from __future__ import annotations

import contextlib
import contextvars
import functools
import itertools
import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from . import kernels, memory, recorded
from .arguments import whole
from .layers import chain
from .layers.base import join
from .layers.fused import apart, fuse
from .losses import class_labels

# Measured with 2 MiB of second-level cache a core: what a shard loses by leaving the cache, it gains by waking Python less.
SHARD_BYTES = 9 << 20                   # activations of one shard, about
FEWEST_IMAGES, MOST_IMAGES = 8, 64      # of a shard, before their number is rounded up to a multiple of 4: filters are
                                        # packed once for each shard; more than 64 images gain nothing
SMALL_WORK = 4_000_000          # multiply-adds (about 200 microseconds) that are not worth waking another thread for
PART_WORK, MOST_PARTS = 2_500_000, 4    # of one image, for each thread that shares it, and the most of them


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Caches:
    """What backward needs of a forward pass; opaque to the caller."""

    def __init__(self, layers: list, sizes: list[int], train: bool):
        self.layers, self.sizes, self.train = layers, sizes, train     # layers[layer][shard]


class Engine:
    """Runs `layers` on batches of images of `input_shape`. threads: None for all usable cores."""

    def __init__(self, layers, input_shape: tuple[int, ...], threads: int | None = None):
        self.layers, self.input_shape = tuple(layers), tuple(input_shape)
        self.threads = usable_cores() if threads is None else whole(threads, "threads")
        kept = sum(layer.kept_bytes(layer.input_shape, layer.output_shape, 4) for layer in fuse(self.layers))
        self.shard_images = min(MOST_IMAGES, max(FEWEST_IMAGES, SHARD_BYTES // max(1, kept)))
        self.work = sum(layer.flops(layer.input_shape, layer.output_shape) for layer in self.layers)
        self.pools = [memory.Pool() for _ in range(self.threads)]
        for pool in self.pools:
            pool.others = [other for other in self.pools if other is not pool]
        self._recordings = [recorded.Recordings() for _ in range(self.threads)]
        self._worker = threading.local()
        self._fused: dict[tuple, tuple] = {}
        self._recordable: dict[tuple, bool] = {}
        self._helpers: ThreadPoolExecutor | None = None
        self._process = 0
        self._lock = threading.Lock()
        self.seen_threads: set[int] = set()

    # ---- shards over threads ----

    def shards(self, n: int) -> list[slice]:
        """The images of each shard of a batch of n: nearly equal runs; one empty shard for n = 0.

        1, 2 or a multiple of 4 shards, whatever the threads, so that the usual numbers of them are kept busy alike.
        """
        count = math.ceil(n / self.shard_images)
        count = 4 * math.ceil(count / 4) if count > 2 else min(2, n // FEWEST_IMAGES)
        return _nearly_equal(n, max(1, count))

    def runner(self, n: int) -> Callable:
        """`run` for the shards of a batch of n: run(f, *lists) is [f(*items) for items in zip(*lists)], over the threads."""
        return functools.partial(self._run, self.threads if n * self.work >= SMALL_WORK else 1)

    def _run(self, threads: int, function: Callable, *lists: list) -> list:
        """Worker t starts with call t, then each takes the next one that is left; results come in order.

        An exception ends all and is raised here.
        """
        count = len(lists[0])
        workers = min(threads, count)
        self.seen_threads.add(threading.get_ident())
        if workers == 1:
            self._worker.index = 0
            with memory.using(self.pools[0]):
                return [function(*items) for items in zip(*lists, strict=True)]
        results: list = [None] * count
        rest, failures = itertools.count(workers), []

        def work(worker):
            self._worker.index = worker
            with memory.using(self.pools[worker]):
                i = worker
                while i < count and not failures:
                    try:
                        results[i] = function(*(items[i] for items in lists))
                    except BaseException as failure:
                        failures.append(failure)
                        return
                    i = next(rest)

        helpers = self._submit(work, range(1, workers))
        work(0)
        for helper in helpers:
            helper.result()
        if failures:
            raise failures[0]
        return results

    def _submit(self, work, numbers) -> list:
        """Futures of work(number); in one go, since parts of an image wait for each other."""
        with self._lock:
            if self._helpers is None or self._process != os.getpid():       # a fork takes no threads along
                self._helpers = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="minicnn")
                self._process = os.getpid()
            return [self._helpers.submit(contextvars.copy_context().run, self._seen, work, number) for number in numbers]

    def _seen(self, work, number):
        self.seen_threads.add(threading.get_ident())
        return work(number)

    # ---- whole passes ----

    def forward(self, x: np.ndarray, train: bool, keys=None) -> tuple[np.ndarray, Caches]:
        """y of a batch, and what `backward` needs."""
        cuts = self.shards(len(x))
        xs, rngs = [x[cut] for cut in cuts], _shard_keys(keys, cuts)
        ys, caches = chain.forward_shards(self.layers, xs, train, rngs, self.runner(len(x)))
        return join(ys), Caches(caches, [len(part) for part in xs], train)

    def backward(self, dy: np.ndarray, caches: Caches) -> tuple[np.ndarray, list[dict]]:
        """dx of the batch, and the gradients of each layer's params."""
        if len(dy) != sum(caches.sizes):
            raise ValueError(f"dy holds {len(dy)} images, the forward pass had {sum(caches.sizes)}")
        cuts = self.shards(len(dy))
        dxs, grads = chain.backward_shards(self.layers, [dy[cut] for cut in cuts], list(caches.layers), caches.train,
                                           self.runner(len(dy)))
        return join(dxs), grads

    def infer(self, x: np.ndarray, layers=None) -> np.ndarray:
        """y of a batch in evaluation mode, keeping nothing for backward. layers: those to run, if not all."""
        layers = self._runnable(self.layers if layers is None else tuple(layers))
        cuts, run = self.shards(len(x)), self.runner(len(x))
        if self._can_record(layers, x.dtype, False):
            if len(cuts) == 1 and (workers := min(self.threads, MOST_PARTS, len(x) * self.work // PART_WORK)) > 1:
                if len(x) == 1:
                    return self._run(1, lambda part: self._played(layers, part, workers), [x])[0]
                cuts = _nearly_equal(len(x), min(workers, len(x)))
                run = functools.partial(self._run, workers)
            return join(run(lambda cut: self._played(layers, x[cut]), cuts))
        if any(layer.whole_batch(False) for layer in layers):
            return join(chain.forward_shards(layers, [x[cut] for cut in cuts], False, [None] * len(cuts), run)[0])
        return join(run(lambda part: chain.infer(layers, part), [x[cut] for cut in cuts]))

    def step(self, x: np.ndarray, labels: np.ndarray, loss, keys=None, layers=None) -> tuple[np.ndarray, list[dict]]:
        """Forward, loss and backward of one batch: each image's loss, and the gradients of the batch's mean loss.

        layers: those to train, if not all (a Softmax at the end is part of the loss). The gradients of the other layers
        are not made, nor dx.
        """
        layers = self._runnable(self.layers if layers is None else tuple(layers))
        scale = 1.0 / loss.denominator(labels, x.dtype)
        if keys is not None and getattr(loss, "recordable", False) and self._can_record(layers, x.dtype, True):
            with contextlib.suppress(kernels.Refused):             # the layers themselves say below what they refuse
                return self._played_step(x, class_labels(labels), loss, keys, layers, scale)
        cuts = self.shards(len(x))
        xs, rngs, targets = [x[cut] for cut in cuts], _shard_keys(keys, cuts), [labels[cut] for cut in cuts]
        border = max((i + 1 for i, layer in enumerate(layers) if layer.whole_batch(True)), default=0)
        head, tail = layers[:border], layers[border:]
        run, adder = self.runner(len(x)), chain.OrderedSum()
        xs, caches = chain.forward_shards(head, xs, True, rngs, run)

        def finish(index, x, target, key):
            logits, kept = chain.forward(tail, x, True, key)
            losses = loss.forward(logits, target)
            dx, grads = chain.backward(tail, loss.backward(logits, target, scale), kept, need_dx=bool(head))
            adder.add(index, grads)
            return losses, dx

        done = run(finish, list(range(len(cuts))), xs, targets, rngs)
        grads = adder.total
        if head:
            grads = chain.backward_shards(head, [dx for _, dx in done], caches, True, run, need_dx=False)[1] + grads
        return np.concatenate([losses for losses, _ in done]), apart(layers, grads)

    # ---- fused and recorded ----

    def _runnable(self, layers) -> tuple:
        """The layers with neighbours fused, unless a kernel has been replaced by one that wants to be called."""
        if kernels.replaced():
            return layers
        if layers not in self._fused:
            self._fused[layers] = fuse(layers)
        return self._fused[layers]

    def _can_record(self, layers, dtype, train: bool) -> bool:
        """Whether the layers can be recorded, and nobody has replaced a kernel."""
        if dtype != np.float32 or kernels.replaced():
            return False
        key = layers, train
        if key not in self._recordable:
            self._recordable[key] = recorded.recordable(layers, train)
        return self._recordable[key]

    def _played(self, layers, x, parts: int = 1) -> np.ndarray:
        """`infer` of one shard by a recording; with parts > 1, of one image by so many threads."""
        recordings, key = self._recordings[self._worker.index], (layers, len(x), kernels.exact(), parts)
        recording = recordings.take(key, lambda: recorded.Inference(layers, x, parts))
        y = recording.play(x, self._submit).copy()
        recordings.give(key, recording)
        return y

    def _played_step(self, x, labels, loss, keys, layers, scale):
        """`step` by recordings: every shard's losses, and the total of the shards' gradients, added in shard order."""
        cuts, losses = self.shards(len(x)), np.empty(len(x), x.dtype)
        adder = recorded.OrderedTotal()

        def play(index, cut):
            part, of_shard = x[cut], keys.shard(cut.start, cut.stop)
            key, recordings = (layers, loss, len(part), keys.seed, kernels.exact()), self._recordings[self._worker.index]
            recording = recordings.take(key, lambda: recorded.Step(layers, loss, part, of_shard))
            losses[cut] = recording.play(part, labels[cut], of_shard, scale)
            adder.add(index, recording)
            recordings.give(key, recording)

        self.runner(len(x))(play, list(range(len(cuts))), cuts)
        return losses, recorded.Gradients(apart(layers, adder.grads()), adder.total)


def _nearly_equal(n: int, count: int) -> list[slice]:
    return [slice(n * i // count, n * (i + 1) // count) for i in range(count)]


def _shard_keys(keys, cuts) -> list:
    return [None if keys is None else keys.shard(cut.start, cut.stop) for cut in cuts]
