"""When a float32 result is right: the one rule behind every tolerance of the tests.

A sum of n rounded terms in any order is off by at most c eps times the sum of the absolute values of its terms, with a c
that grows with n in the worst case and stays below 4 where the errors have random signs, 16 where the terms all have one
sign (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 4.2). The bound does not change with cancellation
or scale, so nothing in it needs tuning: the caller gives the sum of the absolute values.
"""
import numpy as np

EPS = 2.0**-23              # distance from 1 to the next float32
SMALLEST = 2.0**-126        # smallest normal float32; below it the spacing stays that of SMALLEST


def assert_close(y, exact, terms, c, what=""):
    """abs(y - exact) <= c eps terms, element by element; NaN where exact is NaN, infinite where exact leaves the range.

    y: the float32 result; exact: float64; terms: float64, the sum of the absolute values of the terms, or None for
    abs(exact). c may be an array. A bound below the smallest normal number counts as that of the smallest normal number.
    """
    exact, wrong = np.asarray(exact, np.float64), f"{what}: shape {y.shape}, dtype {y.dtype}"
    assert y.dtype == np.float32 and y.shape == exact.shape, wrong
    terms = np.abs(exact) if terms is None else np.broadcast_to(np.asarray(terms, np.float64), exact.shape)
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        special = ~np.isfinite(rounded)
        error = np.where(special, 0, np.abs(y - exact))
        measure = error / (EPS * np.maximum(np.where(special, 1, terms), SMALLEST))
        right = np.where(special, (y == rounded) | (np.isnan(y) & np.isnan(rounded)), measure <= c)     # a NaN is not <=
    if not right.all():
        measure = np.where(right, -1, np.where(np.isnan(measure) | special, np.inf, measure))
        worst = np.unravel_index(np.argmax(measure), y.shape)
        bound = np.broadcast_to(c, y.shape)[worst]
        raise AssertionError(
            f"{what}: {np.count_nonzero(~right)} of {y.size} values too far off, worst at {tuple(map(int, worst))}: {y[worst]!r} "
            f"instead of {exact[worst]!r}, an error of {measure[worst]:.1f} eps terms where {bound:.1f} are allowed")


def measured(y, exact, terms):
    """The largest abs(y - exact) / (eps terms): how much of a bound is used."""
    return float(np.max(np.abs(y - exact) / (EPS * np.maximum(terms, SMALLEST)), initial=0))
