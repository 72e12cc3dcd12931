"""Checks of the arguments that layers, optimizers and nets are made with. They may come from a file nobody vouches for.

TypeError for a wrong kind of value, ValueError outside the range; the message names the argument and shows the value.
"""
from __future__ import annotations

import math
import operator

import numpy as np


def whole(value, name: str, low: int = 1, high: int = 2**31 - 1) -> int:
    """An integer in low..high."""
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not low <= number <= high:
        raise ValueError(f"{name} must lie in {low}..{high}, got {value}")
    return number


def real(value, name: str, low: float = 0.0, high: float = math.inf, below: float = math.inf) -> float:
    """A finite number with low <= number <= high and number < below."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not (math.isfinite(value) and low <= value <= high and value < below):
        limits = ((">=", low), ("<=", high), ("<", below))
        told = "".join(f" and {sign} {limit:g}" for sign, limit in limits if math.isfinite(limit))
        raise ValueError(f"{name} must be finite{told}, got {value}")
    return float(value)


def flag(value, name: str) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)
