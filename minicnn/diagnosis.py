"""Why a gradient is wrong: common mistakes, each tried as a hypothesis on the wrong array.

    factor      yours * f equals the numeric gradient for one number f          (a mean missing or twice, a sign, a 2)
    mirrored    ... after reversing axes                                         (a filter flipped, or not flipped)
    transposed  ... after swapping two axes
    zero        yours is 0 everywhere                                            (nothing flows back)

A diagnosis is spoken only when exactly one hypothesis fits, to FIT of the largest entry.
"""
from __future__ import annotations

from itertools import combinations

import numpy as np

FIT = 1e-6


def diagnose(yours: np.ndarray, places, numeric: np.ndarray, sizes: dict[str, int]) -> str | None:
    """One sentence, or None where no known pattern fits.

    yours: the whole array that backward returned.  places, numeric: indices into it and what should stand there.
    sizes: names of the numbers that a wrong factor may come from, such as {"batch size": 3}.
    """
    index = tuple(np.array(places).T)
    if len(places) < 2 or not np.isfinite(yours).all() or not np.isfinite(numeric).all() or not np.any(numeric):
        return None
    if not np.any(yours):
        return "yours is 0 everywhere: nothing flows back"
    found = [text for text, array in _rearranged(yours) if _fit(array[index], numeric) <= FIT]
    values = yours[index]
    if np.any(values):
        factor = float(values @ numeric / (values @ values))
        fit = _fit(factor * values, numeric)
        if fit <= FIT:
            found.append(_factor_text(factor, fit, sizes))
    return found[0] if len(found) == 1 else None


def _fit(values: np.ndarray, numeric: np.ndarray) -> float:
    return float(np.abs(values - numeric).max() / np.abs(numeric).max())


def _rearranged(yours: np.ndarray):
    """(text, array) for each rearrangement that keeps the shape."""
    long = [axis for axis in range(yours.ndim) if yours.shape[axis] > 1]
    for count in range(1, len(long) + 1):
        for axes in combinations(long, count):
            yield f"equal after reversing {_axes(axes)}: an index runs backwards", np.flip(yours, axes)
    for a, b in combinations(long, 2):
        if yours.shape[a] == yours.shape[b]:
            yield f"equal after swapping {_axes((a, b))}: a transposed array", np.swapaxes(yours, a, b)


def _axes(axes) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes[:-1]))} and {axes[-1]}"


def _factor_text(factor: float, fit: float, sizes: dict[str, int]) -> str:
    exact = f"equal to {max(fit, 1e-16):.0e} after"
    if abs(factor + 1) < FIT:
        return f"{exact} changing the sign"
    for verb, number, cure in (("dividing", 1 / factor, "is missing"), ("multiplying", factor, "is too many")):
        names = [name for name, size in sizes.items() if size > 1 and abs(number / size - 1) < FIT]
        if names:
            told = " or ".join(names)
            return f"{exact} {verb} by {number:.6g} = {told}: a mean over the {told.replace('batch size', 'batch')} {cure}"
    if abs(factor) < 1:
        return f"{exact} dividing by {1 / factor:.6g}"
    return f"{exact} multiplying by {factor:.6g}"
