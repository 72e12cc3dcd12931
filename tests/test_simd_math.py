"""exp, log, tanh and erf of 16 lanes: within 2 units in the last place of the exact value, for every kind of float32.

The unit is the distance between the two float32 around the exact value, down to 2^-149. The exact value is float64, which
has 29 bits more.
"""
import math

import numpy as np
import pytest
from numba import njit

from minicnn.kernels import simd_math
from minicnn.kernels.jit import OPTIONS
from minicnn.kernels.simd import LANES, load, store

EXACT = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "erf": np.vectorize(math.erf, otypes=[float])}


def lanewise(function):
    """A compiled loop: y = function(x), 16 lanes at a time."""
    @njit(**OPTIONS)
    def loop(x, y):
        for i in range(0, x.size, LANES):
            store(y, i, function(load(x, i)))

    def apply(x):
        padded = np.resize(x, -(-x.size // LANES) * LANES)
        y = np.full_like(padded, np.nan)
        loop(padded, y)
        return y[:x.size]
    return apply


@pytest.fixture(scope="module", params=EXACT)
def pair(request):
    """(name, the function under test, the exact one)."""
    return request.param, lanewise(getattr(simd_math, request.param)), EXACT[request.param]


def all_exponents():
    """Both signs, every exponent, subnormals among them, and 65 fractions of each."""
    fractions = np.concatenate([np.linspace(0, 2**23 - 1, 60), [1, 2, 2**23 - 2, 0x3504F3, 0x3504F2]]).astype(np.uint32)
    bits = (np.arange(255, dtype=np.uint32)[:, None] << np.uint32(23)) | fractions
    positive = bits.ravel().view(np.float32)
    return np.concatenate([positive, -positive])


def dense_line(name):
    """Where each function bends, and where its pieces meet."""
    low, high = {"exp": (-104, 89), "log": (0.4, 2.5), "tanh": (-10, 10), "erf": (-4.5, 4.5)}[name]
    return np.linspace(low, high, 100_003).astype(np.float32)


def ulps(y, exact):
    """Distances in units in the last place; infinite where y is NaN or infinite and exact is not, or the other way round."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        unit = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, 1))).astype(np.float64)
        distance = np.abs(y - exact) / unit
    alike = (y == rounded) | (np.isnan(y) & np.isnan(rounded))
    return np.where(np.isfinite(y) & np.isfinite(rounded), distance, np.where(alike, 0, np.inf))


def test_within_two_units_in_the_last_place(pair):
    name, function, exact = pair
    for x in (all_exponents(), dense_line(name)):
        with np.errstate(all="ignore"):
            distance = ulps(function(x), exact(x.astype(np.float64)))
        worst = np.argmax(distance)
        assert distance[worst] <= 2, f"{name}({x[worst]!r}) is {distance[worst]:.2f} ulps off"


def test_ulps_sees_planted_errors():
    exact = np.array([1.0, 1e-40, np.inf, np.nan, 1e39, 5.0])
    y = np.array([1 + 2.0**-21, 1.00006e-40, -np.inf, 0.0, 3e38, np.nan], np.float32)
    assert (ulps(y, exact) > 2).all()
    assert (ulps(exact[:4].astype(np.float32), exact[:4]) < 1).all()


@pytest.mark.parametrize("name, x, y", [
    ("exp", [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 88.7229, -103.9, -104.1, 3e38, -3e38],
     [np.nan, np.inf, 0, 1, 1, 1, 1, np.inf, 1.4e-45, 0, np.inf, 0]),
    ("log", [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, -1e-45, 1e-45, 3.4028235e38],
     [np.nan, np.inf, np.nan, -np.inf, -np.inf, 0, np.nan, np.nan, -103.27893, 88.72284]),
    ("tanh", [np.nan, np.inf, -np.inf, 0.0, 1e-45, -1e-45, 1e-39, 20, -3e38], [np.nan, 1, -1, 0, 1e-45, -1e-45, 1e-39, 1, -1]),
    ("erf", [np.nan, np.inf, -np.inf, 0.0, 1e-39, 4, 6, -3e38], [np.nan, 1, -1, 0, 1.1283792e-39, 1, 1, -1]),
])
def test_special_values(name, x, y):
    result = lanewise(getattr(simd_math, name))(np.array(x, np.float32))
    assert (ulps(result, np.array(y, np.float32).astype(np.float64)) <= 2).all(), result


def test_monotonous_where_pieces_meet(pair):
    """No step backwards of more than the errors allow where one formula takes over from another."""
    name, function, _ = pair
    seams = {"exp": [0.34657359, -0.34657359], "log": [0.70710678, 1.4142135], "tanh": [0.625, -0.625], "erf": [1, -1, 4, -4]}
    for seam in seams[name]:
        x = (np.float32(seam).view(np.int32) + np.arange(-64, 64, dtype=np.int32)).view(np.float32)
        y = function(np.sort(x))
        assert (np.diff(y) >= -3 * np.spacing(np.abs(y[1:]))).all()
