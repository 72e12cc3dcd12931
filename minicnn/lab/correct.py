"""Correct first: a kernel against the reference column, before any time is taken of it.

On whole numbers in [-4, 4] most kernels must be right to the last bit; on random data all must keep to the tolerances of
kernels/HOWTO.md (bounds.py). A kernel of convolution or dense layers that is off on whole numbers may still pass with
c = 48 on both, as algorithms do that multiply less and round more (Winograd); the verdict then says so. Named besides:
places that were never written, inputs that were changed, writes outside of an array.

Judged are a few images on one thread, then the problem itself, in the way in which it is timed, unless a call takes too long.
Of many images the reference computes some, the first and the last among them; in sums over the images the others are silent.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import kernels
from ..kernels import SPECS
from . import arguments
from .bounds import EPS, bounds, is_exact
from .costs import elements, flops
from .operations import stem
from .problems import Problem
from .slices import WHOLE

SMALLEST = 2.0 ** -126
LOOSE = 48                          # c of an algorithm that is not exact on whole numbers
LOOSE_STEMS = {"conv2d", "dense"}
FLOPS, ELEMENTS = 1 << 30, 1 << 22  # of one run of the reference, about
PATIENCE = 5.0                      # seconds for a call on the whole problem
FEW = 2                             # images of the first look


@dataclass(frozen=True)
class Verdict:
    """max_error: the largest abs(y - exact) / sum of the absolute values of its terms, on random data (inf where it is
    wrong); why: what is wrong, or a remark on how it was judged, or None.  seconds: of a call on `images` images.
    """

    ok: bool
    max_error: float
    why: str | None = None
    seconds: float = 0.0
    images: int | None = None
    first: float = 0.0


class _Wrong(Exception):
    """What is wrong, in words."""


@dataclass
class _Outcome:
    """One call: what it wrote and what is right, by output; the images among them, None for all.  args: of the reference."""

    kernel: str
    data: str
    args: list
    results: dict
    exact: dict
    images: dict
    seconds: float


def judge(kernel: str, function: Callable, problem: Problem | dict, as_timed: Callable | None = None,
          seed: int = 0) -> Verdict:
    """Whether `function` computes what `kernel` does.

    problem: a Problem, or its shape (extents by axis letter and integers by name).  as_timed: the function that will be
    timed, if another.  seed: of the data. What the function raises comes through.
    """
    if isinstance(problem, dict):
        problem = Problem(kernel, "", None, problem)
    some = _images(problem)
    few = problem if some is None else problem.with_batch(min(problem.batch, some, FEW))
    exact, notes = is_exact(kernel, problem.shape), []
    try:
        first = _call(few, function, True, None, seed)
        loose = _whole_numbers(few, first, exact)
        outcome = _call(few, function, False, None, seed)
        error, far = _within(outcome)
        if loose or far:
            notes.append(f"not exact, but within {LOOSE} eps")
        if few.batch != problem.batch or as_timed is not None:
            if outcome.seconds * (problem.batch or 1) / (few.batch or 1) > PATIENCE:
                notes.append(f"checked on {few.batch} of {problem.batch} images, the whole takes too long")
            elif exact:
                _whole_numbers(problem, _call(problem, as_timed or function, True, some, seed), exact)
            else:
                error = max(error, _within(_call(problem, as_timed or function, False, some, seed))[0])
    except _Wrong as wrong:
        return Verdict(False, float("inf"), str(wrong))
    return Verdict(True, error, "; ".join(notes) or None, outcome.seconds, few.batch, first.seconds)


def _whole_numbers(problem: Problem, outcome: _Outcome, exact: bool) -> bool:
    """Raises _Wrong, unless right; returns whether it is right only with tolerance though it should be exact."""
    if not exact:
        _within(outcome)
        return False
    try:
        for name, value in outcome.results.items():
            _compare(outcome, name, value != outcome.exact[name].astype(value.dtype))
        return False
    except _Wrong as wrong:
        if stem(problem.kernel) not in LOOSE_STEMS:
            raise
        try:
            _within(outcome)
        except _Wrong:
            raise wrong from None           # the message about whole numbers is the plainer one
        return True


def _images(problem: Problem) -> int | None:
    """How many images the reference computes; None for all: of a kernel without images, or that no image can be left out of."""
    if problem.batch is None or problem.kernel in WHOLE:
        return None
    one = problem.with_batch(1)
    return max(1, min(problem.batch, FLOPS // max(1, flops(one)), ELEMENTS // max(1, elements(one))))


def _call(problem: Problem, function: Callable, integers: bool, some: int | None, seed: int) -> _Outcome:
    """Call the function and the reference.  some: how many images the reference computes; None for all."""
    spec, args = SPECS[problem.kernel], arguments.build(problem, integers, seed)
    arrays, numbers, chosen = args[:len(spec.arrays)], args[len(spec.arrays):], None
    if some is not None and some < problem.batch:
        chosen = np.unique(np.linspace(0, problem.batch - 1, some).round().astype(int))
        _silence(problem, dict(zip(spec.parameters, args, strict=True)), chosen)
    parts = [_part(array, value, chosen) for array, value in zip(spec.arrays, arrays, strict=True)]
    wide = [part.astype(np.float64) if part.dtype == np.float32 else part.copy() for part in parts] + numbers
    before = [None if array.output else value.copy() for array, value in zip(spec.arrays, arrays, strict=True)]
    start = time.perf_counter()
    returned = function(*args)
    seconds = time.perf_counter() - start
    _check_manners(spec, arrays, before, returned)
    results = {array.name: _part(array, value, chosen)
               for array, value in zip(spec.arrays, arrays, strict=True) if array.output}
    images = {array.name: chosen if _has_images(array) else None for array in spec.outputs}
    return _Outcome(problem.kernel, "whole numbers" if integers else "random data", wide, results,
                    _reference(problem.kernel, wide), images, seconds)


def _reference(kernel: str, args: list) -> dict:
    """The outputs of the reference column on copies of the arguments."""
    spec = SPECS[kernel]
    own = [value.copy() if array.output else value for array, value in zip(spec.arrays, args, strict=False)]
    kernels.function("reference", kernel)(*own, *args[len(own):])
    return {array.name: value for array, value in zip(spec.arrays, own, strict=True) if array.output}


def _silence(problem: Problem, args: dict, chosen) -> None:
    """Let the other images add nothing to a sum over images."""
    if all(_has_images(array) for array in SPECS[problem.kernel].outputs):
        return
    others = np.ones(problem.batch, bool)
    others[chosen] = False
    args["dy" if "dy" in args else "x"][others] = args.get("mean", 0) if "dy" not in args else 0


def _has_images(array) -> bool:
    return array.axes[0] in "N*"


def _part(array, value, chosen):
    return value if chosen is None or not _has_images(array) else value[chosen]


def _check_manners(spec, arrays, before, returned) -> None:
    for array, value, old in zip(spec.arrays, arrays, before, strict=True):
        if not arguments.margins_are_untouched(value):
            raise _Wrong(f"it wrote outside of {array.name} {value.shape}")
        if old is not None and not np.array_equal(value, old):
            place = np.argwhere(value != old)[0]
            raise _Wrong(f"it changed its input {array.name} at {_index(place)}: {value[tuple(place)]} was {old[tuple(place)]}")
        if array.output and not array.updated and value.dtype == np.float32 and (left := np.isnan(value)).any():
            how = "; it returned something: a kernel writes into its outputs and returns nothing" if returned is not None else ""
            raise _Wrong(f"{array.name}{_index(np.argwhere(left)[0])} is NaN, as before the call: never written, or added to "
                         f"without being set first ({left.sum()} of {left.size} places){how}")


def _within(outcome: _Outcome) -> tuple[float, bool]:
    """(the largest error relative to the terms, whether it needed LOOSE); raises _Wrong."""
    worst, far = 0.0, False
    allowed = bounds(outcome.kernel, outcome.args, outcome.exact, lambda args: _reference(outcome.kernel, args))
    for name, value in outcome.results.items():
        exact = outcome.exact[name]
        if value.dtype != np.float32:
            _compare(outcome, name, value != exact)
            continue
        c, terms = allowed[name]
        error = np.abs(value - exact) / np.maximum(terms, SMALLEST)
        limit = np.maximum(c, LOOSE) if stem(outcome.kernel) in LOOSE_STEMS else c
        wrong = ~(error <= limit * EPS)
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0])
            most = np.broadcast_to(limit, error.shape)[place]
            _compare(outcome, name, wrong, f", off by {error[place] / EPS:.3g} eps of its terms, allowed are {most:.3g}")
        far = far or not (error <= c * EPS).all()
        worst = max(worst, float(error.max(initial=0.0)))
    return worst, far


def _compare(outcome: _Outcome, name: str, wrong, how: str = "") -> None:
    """Raises _Wrong with the first place, if there is one."""
    if not wrong.any():
        return
    place = np.argwhere(wrong)[0]
    images = outcome.images[name]
    where = place if images is None else [images[place[0]], *place[1:]]
    value, right = outcome.results[name][tuple(place)], outcome.exact[name][tuple(place)]
    raise _Wrong(f"{name}{_index(where)} is {value:.9g}, right is {right:.9g}{how} ({np.count_nonzero(wrong)} of {wrong.size} "
                 f"values are wrong; {outcome.data})")


def _index(place) -> str:
    return f"[{', '.join(str(int(k)) for k in place)}]"
