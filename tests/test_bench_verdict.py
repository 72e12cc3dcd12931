"""The verdict of the kernel lab, on invented and on recorded times: how often it may be wrong, and how often silent."""
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from minicnn.lab.verdict import FASTER, SAME, SLOWER, UNCLEAR, compare, compare_runs

RECORDED = np.load(Path(__file__).with_name("timings.npy")).astype(float)      # 100 A/A pairs of benchmarks/verdict_live.py
PAIRS, ROUNDS = 100, 40


def uniform(rng):
    return rng.uniform(-0.05, 0.05, ROUNDS)


def normal(rng):
    return 0.05 * rng.standard_normal(ROUNDS)


def invented(noise, seed, factor=1.0):
    """PAIRS of (a, b), b slower by `factor`; both follow a machine whose speed wanders by 3 % a round."""
    rng = np.random.default_rng(seed)
    for _ in range(PAIRS):
        machine = 1e-3 * np.exp(np.cumsum(0.03 * rng.standard_normal(ROUNDS)))
        yield machine * (1 + noise(rng)), factor * machine * (1 + noise(rng))


def words(pairs, judge=compare):
    return Counter(judge(a, b).word for a, b in pairs)


@pytest.mark.parametrize("noise", [uniform, normal])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_difference_is_rarely_named_and_seldom_unclear(noise, seed):
    seen = words(invented(noise, seed))
    assert seen[SAME] + seen[UNCLEAR] >= 95 and seen[UNCLEAR] <= 30, seen


@pytest.mark.parametrize("noise", [uniform, normal])
def test_a_difference_of_10_percent_is_named_in_the_right_direction(noise):
    assert words(invented(noise, 3, 1.1))[SLOWER] >= 90
    assert words(invented(noise, 4, 1 / 1.1))[FASTER] >= 90


def test_recorded_times_of_the_same_call():
    seen = words(RECORDED)
    assert len(RECORDED) == 100 and seen[SAME] + seen[UNCLEAR] >= 95 and seen[UNCLEAR] <= 30, seen


def test_recorded_times_with_10_percent_planted():
    assert words((a, 1.1 * b) for a, b in RECORDED)[SLOWER] >= 90
    assert words((1.1 * a, b) for a, b in RECORDED)[FASTER] >= 90


def test_a_slow_spell_that_meets_both_changes_nothing():
    a, b = next(invented(uniform, 5, 1.1))
    spell = np.where(np.arange(ROUNDS) % 20 < 8, 3.0, 1.0)
    assert compare(spell * a, spell * b).word == compare(a, b).word == SLOWER


def test_rounds_that_resemble_each_other_count_for_less():
    """A difference that wanders: as many rounds in random order would name it."""
    wandering = 0.1 * np.sin(np.linspace(0, 3, ROUNDS)) + 0.02
    a = np.full(ROUNDS, 1e-3)
    one = compare(a, a * np.exp(wandering))
    other = compare(a, a * np.exp(np.random.default_rng(0).permutation(wandering)))
    assert one.high - one.low > 1.5 * (other.high - other.low)


def test_the_ratio_and_its_interval():
    found = compare(*next(invented(uniform, 6, 1.1)))
    assert found.low < 1.1 < found.high and found.ratio == pytest.approx(1.1, rel=0.03)


@pytest.mark.parametrize("b, word", [([2.0] * 3, SLOWER), ([0.5] * 3, FASTER), ([1.1] * 3, UNCLEAR), ([2.0, 0.9, 2.0], UNCLEAR)])
def test_with_few_rounds_only_the_obvious_is_named(b, word):
    found = compare([1.0, 1.0, 1.0], b)
    assert found.word == word and found.low is None


def test_two_runs_without_common_rounds():
    rng = np.random.default_rng(7)
    a, b = 1 + 0.05 * rng.standard_normal(60), 1 + 0.05 * rng.standard_normal(45)
    assert compare_runs(a, b).word in (SAME, UNCLEAR)
    assert compare_runs(a, 1.1 * b).word == SLOWER and compare_runs(1.1 * a, b).word == FASTER


def test_rounds_must_come_in_pairs():
    with pytest.raises(ValueError, match="got 2 and 3"):
        compare([1.0, 1.0], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="got 0 and 0"):
        compare([], [])
