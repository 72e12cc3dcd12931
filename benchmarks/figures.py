"""Figures from times: how far answers lie apart, rates, percentiles, ratios. Times are given as a list for each round."""
from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable

import numpy as np


def disagreement(answers: Iterable) -> float:
    """The largest difference between any two answers, relative to the largest value; NaN where one is not finite."""
    values = np.array(list(answers), np.float64)
    with np.errstate(invalid="ignore"):
        return float((values.max(axis=0) - values.min(axis=0)).max() / np.abs(values).max())


def stepwise_disagreement(answers: Iterable) -> float:
    """The same, where each step is compared to its own largest value."""
    return float(np.max([disagreement(step) for step in zip(*answers, strict=True)]))


def timed(calls: Iterable[Callable], seconds: float) -> list[float]:
    """The seconds of each call, one after the other, until `seconds` are over; at least one."""
    times, start = [], time.perf_counter()
    for call in calls:
        before = time.perf_counter()
        call()
        after = time.perf_counter()
        times.append(after - before)
        if after - start >= seconds:
            break
    return times


def rate(amount: float, blocks: list[list[float]]) -> dict:
    """`amount` per second from the seconds of each call, over all blocks (one a round): median, percentiles 20 and 80."""
    p20, median, p80 = (amount / q for q in np.percentile(np.concatenate(blocks), (80, 50, 20)))
    return {"median": median, "p20": p20, "p80": p80, "rounds": [amount / statistics.median(block) for block in blocks],
            "steps": sum(map(len, blocks))}


def ratio(ours: dict, peers: list[dict]) -> dict:
    """Ours to the fastest of the peers: of the medians over all rounds, and of each round's."""
    best = max(peers, key=lambda peer: peer["median"])
    return {"ratio": ours["median"] / best["median"],
            "ratio_of_each_round": [a / b for a, b in zip(ours["rounds"], best["rounds"], strict=True)]}
