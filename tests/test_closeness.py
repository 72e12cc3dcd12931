"""The rule of closeness.py catches planted errors, and passes honest rounding."""
import numpy as np
import pytest
from closeness import EPS, SMALLEST, assert_close


def dot(n, dtype, seed=0):
    """A sum of n products of normal random numbers in a type, and the sum of their absolute values."""
    a, b = np.random.default_rng(seed).standard_normal((2, 50, n)).astype(np.float32).astype(dtype)
    return (a * b).sum(axis=1, dtype=dtype), np.abs(a * b).sum(axis=1)


@pytest.mark.parametrize("n", [1, 9, 100, 4096])
def test_rounding_passes_and_planted_errors_do_not(n):
    y, (exact, terms) = dot(n, np.float32)[0], dot(n, np.float64)
    assert_close(y, exact, terms, 4)
    for planted in (y + np.float32(5 * EPS) * terms.astype(np.float32), y * np.float32(1.001) + terms.astype(np.float32) * 1e-6,
                    np.where(np.arange(50) == 49, np.float32(np.nan), y), np.where(np.arange(50) == 7, np.float32(np.inf), y)):
        with pytest.raises(AssertionError, match="too far off"):
            assert_close(planted.astype(np.float32), exact, terms, 4)


def test_a_forgotten_term_is_caught():
    a, b = np.random.default_rng(1).standard_normal((2, 50, 4096)).astype(np.float32)
    exact, terms = (a.astype(float) * b).sum(axis=1), np.abs(a.astype(float) * b).sum(axis=1)
    with pytest.raises(AssertionError, match="an error of"):
        assert_close((a[:, 1:] * b[:, 1:]).sum(axis=1), exact, terms, 4)


@pytest.mark.parametrize("y, exact, right", [
    (np.nan, np.nan, True), (np.inf, np.inf, True), (np.inf, 1e39, True), (-np.inf, -1e39, True), (3e38, 3e38, True),
    (0.0, SMALLEST * EPS, True), (0.0, -0.0, True),
    (0.0, np.nan, False), (np.nan, 0.0, False), (np.inf, -np.inf, False), (3e38, 1e39, False), (np.nan, np.inf, False),
    (np.inf, 3e38, False), (0.0, SMALLEST, False), (0.0, SMALLEST * EPS * 2, False), (np.inf, np.nan, False),
])
def test_special_values(y, exact, right):
    y, exact = np.array([y], np.float32), np.array([exact])
    if right:
        return assert_close(y, exact, None, 1)
    with pytest.raises(AssertionError, match=r"1 of 1 values too far off, worst at \(0,\)"):
        assert_close(y, exact, None, 1)


def test_shapes_and_types_must_agree():
    for y, exact in ((np.zeros(3, np.float32), np.zeros(1)), (np.zeros(3), np.zeros(3))):
        with pytest.raises(AssertionError, match="shape"):
            assert_close(y, exact, 1.0, 4)
