"""Gradient check: what backward returns, against differences of what forward computes, in float64.

    L = sum of y * v   for random v, so dL/dy = v             numeric = (L(a + h) - L(a - h)) / 2h     for each entry a

of x and of every parameter. The differences are off by about h^2 (truncation) and 1e-16 / h (rounding), 1e-10 both, so
agreement to TOLERANCE proves a derivative. At a kink (ReLU at 0, a tie of max pooling) there is none: an entry that
disagrees is examined, and skipped where the slope left of a differs from the slope right of it; at most MOST_SKIPPED
of the entries may be. Source: Goodfellow et al. 2016, section 11.5; CS231n, "Gradient checks".
"""
from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import numpy as np

from . import random
from .diagnosis import diagnose
from .errors import MinicnnError
from .layers import Layer, LayerError
from .layers.base import Shape, build, check_backward, check_forward, pair_of
from .layers.chain import flatten

H = 1e-5
TOLERANCE = 1e-6            # relative to the entry, plus a thousandth of the largest gradient of the layer
MOST_SKIPPED = 0.1
SHOWN = 5                   # worst entries in a report


class GradientError(MinicnnError):
    """A gradient is wrong. report: what was found."""

    exit_code = 1

    def __init__(self, report: Report):
        super().__init__(f"the gradients of {report.layer} are wrong\n{report}")
        self.report = report


@dataclass
class Finding:
    """The verdict on one gradient. name: dx, dw ...; error: the largest relative one.

    entries: (index, numeric, yours) of all that were checked; worst: of wrong ones, largest error first, at most SHOWN.
    """

    name: str
    checked: int
    skipped: int
    error: float
    worst: list[tuple[tuple[int, ...], float, float]] = field(default_factory=list)
    diagnosis: str | None = None
    entries: list[tuple[tuple[int, ...], float, float]] = field(default_factory=list, repr=False)

    @property
    def ok(self) -> bool:
        """Every entry agrees, and few enough were skipped."""
        return self.error <= TOLERANCE and not self.too_many_skipped

    @property
    def too_many_skipped(self) -> bool:
        """Kinks nearly everywhere: what is left proves nothing."""
        return self.skipped > MOST_SKIPPED * (self.checked + self.skipped)

    def lines(self) -> list[str]:
        """What there is to say; the first line begins with ok or FAIL."""
        kinks = f"{self.skipped} kink{'s' * (self.skipped != 1)} skipped"
        if self.ok:
            return [f"ok     largest relative error {self.error:.1e}" + (f"   ({kinks})" if self.skipped else "")]
        if self.error <= TOLERANCE:
            return [f"FAIL   {kinks} of {self.checked + self.skipped} entries: the rest proves too little"]
        worst = [f"at {self.name[1:]}[{','.join(map(str, index))}]: numeric {numeric:.6g}, yours {yours:.6g}"
                 for index, numeric, yours in self.worst]
        if self.diagnosis:
            return [f"FAIL   {worst[0]}", f"diagnosis: {self.diagnosis}"]
        return [f"FAIL   {worst[0]}", *worst[1:], "no known pattern"]


@dataclass
class Report:
    """The verdicts on dx and on the gradient of each parameter."""

    layer: str
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """All gradients are right."""
        return all(finding.ok for finding in self.findings)

    def __str__(self):
        width = max(len(finding.name) for finding in self.findings)
        lines = []
        for finding in self.findings:
            first, *rest = finding.lines()
            lines += [f"  {finding.name:<{width}}   {first}", *(f"{'':{width + 12}}{line}" for line in rest)]
        return "\n".join(lines)


def check(layer: Layer, input_shape: Shape, batch: int = 3, seed: int = 0, train: bool = True,
          entries: int = 1000) -> Report:
    """Check all gradients of a layer on `batch` random inputs of `input_shape` = (H, W, C) or (C,).

    Works on a float64 copy: a layer that is not built yet is built, one of a net keeps its weights. Of a larger array,
    `entries` entries are drawn. Raises GradientError with the report where a gradient is wrong, LayerError where the
    layer breaks its contract. Returns the report, which prints as the table of `minicnn check`.
    """
    report = measure(layer, input_shape, batch, seed, train, entries)
    if not report.ok:
        raise GradientError(report)
    return report


def measure(layer: Layer, input_shape: Shape, batch: int = 3, seed: int = 0, train: bool = True,
            entries: int = 1000) -> Report:
    """As `check`, but a wrong gradient is only reported."""
    rng = random.generator(seed, 0)
    layer = _float64_copy(layer, input_shape, rng)
    x = rng.standard_normal((batch, *input_shape))
    keys = random.Keys(seed, 0, np.arange(batch))

    def forward(values):
        y, cache = pair_of(layer, "forward", layer.forward(values, train, keys))
        return check_forward(layer, y, batch, x.dtype), cache

    v = rng.standard_normal((batch, *layer.output_shape))
    arrays = {"dx": x} | {f"d{name}": array for name, array in layer.params.items()}
    yours = _analytic(layer, forward, x, v, between=True)
    places = {name: _places(array.shape, entries, rng) for name, array in arrays.items()}
    numeric = {name: [sum(_slopes(forward, x, array, place, v, H)) / 2 for place in places[name]]
               for name, array in arrays.items()}
    scale = max(abs(slope) for slopes in numeric.values() for slope in slopes)
    findings = []
    for name, array in arrays.items():
        triples = [(place, slope, float(yours[name][place])) for place, slope in zip(places[name], numeric[name], strict=True)]
        wrong = [triple for triple in triples if not _relative(triple, scale) <= TOLERANCE]
        kinks = {place for place, _, _ in wrong if _kinked(forward, x, array, place, v, scale)}
        findings.append(_finding(name, [triple for triple in triples if triple[0] not in kinks], len(kinks), scale))
    _explain(findings, yours, layer, forward, x, v)
    return Report(repr(layer), findings)


def _float64_copy(layer: Layer, input_shape: Shape, rng) -> Layer:
    layer = copy.deepcopy(layer)
    fresh = layer.output_shape is None
    if fresh:
        build(layer, tuple(input_shape), rng)
    for part in flatten([layer]):
        if part.children:
            continue
        for arrays in (part.params, part.state):
            arrays.update({name: np.array(array, np.float64, order="C") for name, array in arrays.items()})
        for array in part.params.values() if fresh else ():
            array += 0.1 * rng.standard_normal(array.shape)     # a factor forgotten in backward hides while gamma is 1
    return layer


def _analytic(layer: Layer, forward, x, v, between: bool) -> dict[str, np.ndarray]:
    """What backward says; `between`: with another forward pass in between, which a layer must not mind."""
    x_before, v_before = x.copy(), v.copy()
    _, cache = forward(x)
    if between:
        forward(x[::-1] + 1)
    dx, grads = pair_of(layer, "backward", layer.backward(v, cache))
    check_backward(layer, dx, x.shape, grads, v.dtype)
    if not np.array_equal(x, x_before):
        raise LayerError(f"{type(layer).__name__} changed its input x in place; write to a new array.")
    if not np.array_equal(v, v_before):
        raise LayerError(f"{type(layer).__name__}.backward changed its input dy in place; write to a new array.")
    return {"dx": dx} | {f"d{name}": grad for name, grad in grads.items()}


def _places(shape: tuple[int, ...], most: int, rng) -> list[tuple[int, ...]]:
    """All indices of an array, or `most` of them drawn by `rng`."""
    size = math.prod(shape)
    flat = range(size) if size <= most else np.sort(rng.choice(size, most, replace=False))
    return [tuple(int(i) for i in np.unravel_index(k, shape)) for k in flat]


def _slopes(forward, x, array, place, v, h) -> tuple[float, float]:
    """Slopes of L to the left and to the right of one entry of `array` (x itself or a parameter)."""
    old = array[place]
    ys = []
    for value in (old - h, old, old + h):
        array[place] = value
        ys.append(forward(x)[0].copy())             # y may be a view of x (Flatten)
    array[place] = old
    # Differences of y, not of L: outputs that the entry does not reach cancel exactly.
    return float(((ys[1] - ys[0]) * v).sum() / h), float(((ys[2] - ys[1]) * v).sum() / h)


def _kinked(forward, x, array, place, v, scale) -> bool:
    """Whether L has no derivative here: with h halved, a smooth function's left and right slope draw closer by half."""
    left, right = _slopes(forward, x, array, place, v, H)
    left_half, right_half = _slopes(forward, x, array, place, v, H / 2)
    least = max(1e-4 * max(abs(left), abs(right)), TOLERANCE * scale)
    moved = abs((left + right) - (left_half + right_half)) / 2 > least
    stays = abs(right_half - left_half) > max(0.75 * abs(right - left), least)
    return moved or stays


def _relative(entry, scale: float) -> float:
    _, numeric, yours = entry
    size = max(abs(numeric), abs(yours)) + 1e-3 * scale
    return abs(numeric - yours) / size if size else 0.0


def _finding(name: str, entries: list, skipped: int, scale: float) -> Finding:
    errors = [_relative(entry, scale) for entry in entries]
    errors = [error if error == error else math.inf for error in errors]        # NaN is as wrong as can be
    order = sorted(range(len(entries)), key=lambda i: -errors[i])
    worst = [entries[i] for i in order[:SHOWN] if errors[i] > TOLERANCE]
    return Finding(name, len(entries), skipped, max(errors, default=0.0), worst, entries=entries)


def _explain(findings: list[Finding], yours: dict[str, np.ndarray], layer: Layer, forward, x, v) -> None:
    """Add a diagnosis to each finding that has one."""
    if all(finding.ok for finding in findings):
        return
    alone = _analytic(layer, forward, x, v, between=False)
    sizes = {"batch size": len(x)} | _extents("input", x.shape[1:]) | _extents("output", v.shape[1:])
    for finding in findings:
        if not finding.worst:
            continue
        if not np.array_equal(alone[finding.name], yours[finding.name], equal_nan=True):
            finding.diagnosis = "backward saw another call's input: hand over what it needs in the cache, never in self"
        else:
            places, numeric, _ = zip(*finding.entries, strict=True)
            finding.diagnosis = diagnose(yours[finding.name], places, np.array(numeric), sizes)


def _extents(which: str, shape: Shape) -> dict[str, int]:
    """The numbers that a mean of maps may divide by."""
    if len(shape) != 3:
        return {}
    return {f"{which} height": shape[0], f"{which} width": shape[1], f"{which} height x width": shape[0] * shape[1]}
