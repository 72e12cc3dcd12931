"""Which of two contenders is faster, or that nobody can tell: a verdict from the times of interleaved rounds.

In round i contender A took a[i] and B took b[i], one right after the other, so that what slows the machine for a while slows
both. d[i] = log(b[i] / a[i]); the verdict is about the middle of the d. Two intervals at 95 % are made for it, and the
narrower one counts: that of Wilcoxon's ranks around the median of the means of all pairs of d, which is narrow where the
noise is even, and that of the sign test around the median of d, which is narrow where some rounds were hit hard (Hollander,
Wolfe and Chicken, Nonparametric Statistical Methods, 2014, sections 3.3 and 3.6). Both are widened where neighbouring rounds
resemble each other, since then there is less to learn from as many of them.

    FASTER, SLOWER      B, with the whole interval beyond 2 %
    SAME                the whole interval within 5 %
    UNCLEAR             neither: more rounds or a quieter machine would tell

Of 100 pairs without a difference, recorded on a machine that was busy with something else (rounds that differ by 18 %), the
ranks alone left 28 unclear, the signs alone 14, both together 14; with even noise of 5 % and 30 rounds, 14, 43 and 14.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SAME, FASTER, SLOWER, UNCLEAR = "SAME", "FASTER", "SLOWER", "UNCLEAR"
NAMED, ALIKE = math.log(1.02), math.log(1.05)
DEVIATIONS = 1.96               # of a normal distribution, 95 % within
FEWEST = 6                      # rounds for an interval
OBVIOUS = math.log(1.25)        # with fewer rounds, all of them must say so
MOST = 400                      # rounds that enter; of more, each stands for the mean of some in a row


@dataclass(frozen=True)
class Comparison:
    """ratio: time of B over time of A.  low, high: its interval, None with too few rounds."""

    word: str
    ratio: float
    low: float | None
    high: float | None


def compare(a, b) -> Comparison:
    """B against A, from the seconds of the rounds in which both ran."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if len(a) != len(b) or not len(a):
        raise ValueError(f"rounds must come in pairs, got {len(a)} and {len(b)}")
    d = _thinned(np.log(b) - np.log(a))
    if len(d) < FEWEST:
        return _obvious(d)
    n, likeness = len(d), _likeness(d)
    means = np.sort(((d[:, None] + d) / 2)[np.triu_indices(n)])
    by_ranks = _interval(means, n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24), likeness)
    by_signs = _interval(np.sort(d), n / 2, math.sqrt(n) / 2, likeness)
    return _judged(*min(by_ranks, by_signs, key=lambda one: one[2] - one[1]))


def compare_runs(a, b) -> Comparison:
    """B against A, from two runs that had no rounds in common: the ranks of Mann and Whitney."""
    a, b = (_thinned(np.log(np.asarray(one, float))) for one in (a, b))
    d = np.sort((b[:, None] - a).ravel())
    n, m = len(a), len(b)
    if min(n, m) < FEWEST:
        return _obvious(d)
    return _judged(*_interval(d, n * m / 2, math.sqrt(n * m * (n + m + 1) / 12), max(_likeness(a), _likeness(b))))


def _interval(candidates, middle: float, deviation: float, likeness: float) -> tuple[float, float, float]:
    """(estimate, low, high) from the sorted candidates for the difference; middle, deviation: of the rank statistic."""
    estimate, rank = float(np.median(candidates)), max(0, math.floor(middle - DEVIATIONS * deviation))
    low, high = float(candidates[rank]), float(candidates[len(candidates) - 1 - rank])
    return estimate, estimate - likeness * (estimate - low), estimate + likeness * (high - estimate)


def _judged(estimate: float, low: float, high: float) -> Comparison:
    word = FASTER if high < -NAMED else SLOWER if low > NAMED else SAME if -ALIKE < low and high < ALIKE else UNCLEAR
    return Comparison(word, math.exp(estimate), math.exp(low), math.exp(high))


def _obvious(d) -> Comparison:
    word = FASTER if d.max() < -OBVIOUS else SLOWER if d.min() > OBVIOUS else UNCLEAR
    return Comparison(word, math.exp(float(np.median(d))), None, None)


def _likeness(d) -> float:
    """How much wider the interval must be: sqrt((1 + r) / (1 - r)), r the correlation of the ranks of neighbours."""
    ranks = np.argsort(np.argsort(d)) - (len(d) - 1) / 2
    r = float(ranks[1:] @ ranks[:-1] / (ranks @ ranks))
    r = min(0.9, max(0.0, r))
    return math.sqrt((1 + r) / (1 - r))


def _thinned(d):
    """At most MOST values, each the mean of a run of neighbours."""
    group = -(-len(d) // MOST)
    return d if group == 1 else np.array([part.mean() for part in np.array_split(d, len(d) // group)])
