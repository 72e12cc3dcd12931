"""The profile of a net: what each layer costs in training, forward and backward, and how far that is from the roof.

    bound = max(flops / peak, bytes / bandwidth)        seconds that no kernel of this machine can undercut, about
    of the roof = bound / time                          the same as GFLOP/s over min(peak, flops per byte * bandwidth)
    a perfect kernel saves time - bound                 in ms, and as a share of the whole step

Peak and bandwidth are measured now, on one thread. The layers run one after the other on one thread, as lab/layer_walk.py
tells, each pass followed by a whole training step (`Trainer.step`, one thread, the same batch); times are medians over the
passes. Kernels are those that `use` has put in force. Both work on copies: weights and running statistics stay as they are.

The sum of the layers may exceed the step, which may join neighbouring layers; it may fall short of it, too: the step also
adds up the gradients of shards, and tests them. A layer whose arrays stay in the cache moves its bytes faster than memory
does, and may come out above 100 %. The roof is one of float32: for float64 there is no share of it.
"""
from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass

import numpy as np

from .errors import MinicnnError
from .lab import layer_walk, roof
from .lab.twin import twin
from .layers.base import batch_text
from .losses import SoftmaxCrossEntropy
from .recipe import default_optimizer
from .sequential import Sequential
from .trainer import Trainer

SECONDS = 2.0               # of measuring, about
FEWEST, MOST = 3, 500       # passes
HEADER = ("layer", "", "ms", "of step", "GFLOP/s", "MB", "flop/byte", "of roof", "can save ms", "of step")
WAYS = {layer_walk.FORWARD: "forward", layer_walk.BACKWARD: "backward", layer_walk.UPDATE: ""}
BATCH = 64                  # images of a made-up batch


@dataclass(frozen=True)
class Row:
    """One layer in one direction ("forward", "backward", "update"). bound: seconds of a perfect kernel, None for float64."""

    layer: str
    what: str
    way: str
    seconds: float
    flops: int
    bytes: int
    bound: float | None

    @property
    def gflops(self) -> float:
        """GFLOP/s."""
        return self.flops / self.seconds / 1e9

    @property
    def intensity(self) -> float | None:
        """Flops per byte; None for a layer that moves nothing."""
        return self.flops / self.bytes if self.bytes else None

    @property
    def of_roof(self) -> float | None:
        """The share of the roof, 1 for a perfect kernel; None where there is nothing to do."""
        return self.bound / self.seconds if self.bound else None

    @property
    def saves(self) -> float | None:
        """Seconds that a perfect kernel would save."""
        return None if self.bound is None else max(0.0, self.seconds - self.bound)


@dataclass(frozen=True)
class Profile:
    """rows: in the order in which they run forward, backward behind forward.  step: seconds of a whole training step.
    peak, bandwidth: GFLOP/s and GB/s of one thread.
    """

    net: str
    batch: int
    dtype: str
    passes: int
    peak: float
    bandwidth: float
    step: float
    rows: tuple[Row, ...]

    @property
    def seconds(self) -> float:
        """The sum of the rows."""
        return sum(row.seconds for row in self.rows)

    def document(self) -> dict:
        """Plain data for JSON: times in seconds."""
        rows = [{**asdict(row), "gflops": row.gflops, "intensity": row.intensity, "of_roof": row.of_roof, "saves": row.saves,
                 "saves_of_step": None if row.saves is None else row.saves / self.step} for row in self.rows]
        return {**asdict(self), "threads": 1, "seconds": self.seconds, "rows": rows}

    def table(self) -> str:
        """A line for each row, totals below."""
        lines = [HEADER, *(self._line(row.layer if row.way != "backward" else "", WAYS[row.way], [row]) for row in self.rows)]
        sums = [("sum", way) for way in ("forward", "backward") if any(row.way == way for row in self.rows)]
        lines += [self._line(title, way, [row for row in self.rows if row.way == way]) for title, way in sums]
        lines.append(self._line("all", "", list(self.rows)))
        widths = [max(len(line[k]) for line in lines) for k in range(len(HEADER))]
        text = ["  ".join(cell.ljust(width) if k < 2 else cell.rjust(width)
                          for k, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip() for line in lines]
        text.insert(len(self.rows) + 1, "")
        head = (f"{self.net}, batch {self.batch}, {self.dtype}, 1 thread, medians of {self.passes} passes; roof measured now: "
                f"{self.peak:.0f} GFLOP/s, {self.bandwidth:.0f} GB/s")
        step = (f"a whole training step: {_ms(self.step)} ms; the layers one by one make {self.seconds / self.step:.0%} of it")
        return "\n".join([head, *text, step])

    __str__ = __repr__ = table

    def _line(self, title: str, way: str, rows: list[Row]) -> tuple[str, ...]:
        seconds, flops, moved = (sum(getattr(row, name) for row in rows) for name in ("seconds", "flops", "bytes"))
        known = all(row.bound is not None for row in rows)
        bound, saves = (sum(row.bound for row in rows), sum(row.saves for row in rows)) if known else (None, None)
        return (title, way, _ms(seconds), f"{seconds / self.step:.1%}", f"{flops / seconds / 1e9:.1f}" if flops else "-",
                f"{moved / 1e6:.2f}" if moved else "-", f"{flops / moved:.1f}" if flops and moved else "-",
                f"{bound / seconds:.0%}" if bound else "-", _ms(saves) if bound else "-",
                f"{saves / self.step:.1%}" if bound else "-")


def profile(net: Sequential, x, labels=None, seconds: float = SECONDS) -> Profile:
    """Measure `net` in training on the batch x (N, *input_shape), for about `seconds` after a first pass that compiles.

    labels: class numbers (N,), made up where there are none. Raises ValueError where x or the labels do not fit the net.
    """
    if len(net.output_shape) != 1:
        raise ValueError(f"profile needs a net that ends in (N,classes), not in {batch_text(net.output_shape)}")
    x = net.as_batch(x, net.input_shape, "x")
    labels = np.arange(len(x)) % net.output_shape[0] if labels is None else np.asarray(labels)
    loss = SoftmaxCrossEntropy()
    trainer = Trainer(twin(net, 1), default_optimizer(), loss)
    trainer.lr = 0.0                                    # the weights stay, and with them the numbers that kernels meet
    trainer.step(x, labels)                             # refuses what does not fit, and names it
    walk = layer_walk.Walk(twin(net, 1), x, labels, loss)
    walk.run()
    passes, steps, start = [], [], time.perf_counter()
    while len(passes) < FEWEST or (time.perf_counter() - start < seconds and len(passes) < MOST):
        passes.append(walk.run())
        begin = time.perf_counter()
        trainer.step(x, labels)
        steps.append(time.perf_counter() - begin)
    peak, bandwidth = roof.measure()
    rows = [_row(walk, key, [costs[key] for costs in passes], net.dtype, peak, bandwidth) for key in _order(passes[0])]
    return Profile(repr(net), len(x), str(net.dtype), len(passes), peak, bandwidth, statistics.median(steps), tuple(rows))


def sample_batch(net: Sequential, run=None, batch: int | None = None) -> tuple[np.ndarray, np.ndarray | None, str]:
    """A batch to profile a net on: (x, labels, what it is).

    The first training images of `run` (a Run), where its data are found; else noise without labels. batch: images; by
    default as many as the run trained with.
    """
    why = ""
    recipe = run.description.get("recipe") if run is not None else None
    batch = batch or (recipe.get("batch") if isinstance(recipe, dict) else None) or BATCH
    if run is not None:
        try:
            part = run.load_data().train
            if part.images.shape[1:] == net.input_shape:
                images, labels = part.images[:batch], part.labels[:batch]
                return images, labels, f"the first {len(images)} training images of {run.data.name}"
        except MinicnnError as error:
            why = f" ({error})"
    noise = np.random.default_rng(0).standard_normal((batch, *net.input_shape), np.float32)
    return noise, None, f"{batch} images of noise{why}"


def _order(costs) -> list[tuple[str, str]]:
    """The keys of a pass: by layers as they run forward, the update last."""
    names = list(dict.fromkeys(name for name, _ in costs))
    return sorted(costs, key=lambda key: (key[1] == layer_walk.UPDATE, names.index(key[0]), key[1] == layer_walk.BACKWARD))


def _row(walk, key, costs, dtype, peak, bandwidth) -> Row:
    name, way = key
    seconds, one = statistics.median(cost.seconds for cost in costs), costs[0]
    bound = max(one.flops / peak, one.bytes / bandwidth) / 1e9 if dtype == np.float32 else None
    what = repr(walk.made[name]) if name in walk.made else type(walk.loss).__name__ if way != layer_walk.UPDATE else "SGD"
    return Row(name, what, way, seconds, one.flops, one.bytes, bound)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"
