"""Times of several contenders in rounds A B C A B C, so that a slow spell of the machine meets all of them.

A sample is so many calls that it lasts a millisecond or more (`cold`: one call, for which the caches are flushed before).
Each contender has about `seconds`; one whose sample is long takes part in fewer rounds, spread over all. The collector of
garbage is off. Between contenders the clock waits until this process is idle: thread pools go on spinning after a call, on a
core that the next contender needs (PyTorch's for 24 ms, OpenBLAS's for 110 ms on a Zen 3 with 2 cores).
"""
from __future__ import annotations

import gc
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np

SHORTEST = 1e-3             # seconds of a sample
ROUNDS = 60                 # at most
FEWEST = 3                  # rounds, also of a contender that needs longer than its seconds; one if even a call does
PATIENCE = 0.25             # seconds to wait for idleness
WARMED = 1e-2               # calls shorter than this get one that does not count before each sample: others had the caches
TASKS = "/proc/self/task"


@dataclass
class Times:
    """Seconds per call, one for each round in which a contender took part.  rounds: the numbers of those rounds."""

    calls: int
    samples: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)


def run(contenders: list[Callable[[], None]], seconds: float = 1.0, flush: Callable[[], None] | None = None,
        first: list[float] | None = None) -> list[Times]:
    """The times of each contender, in rounds.

    flush: empties the caches, for cold measurements.  first: the seconds of a warm call of each, if known.
    """
    first = [call_seconds(call) for call in contenders] if first is None else first
    length = max(SHORTEST, seconds / ROUNDS)
    times = [Times(1 if flush else max(1, math.ceil(length / max(once, 1e-9)))) for once in first]
    wanted = [_rounds(seconds, once * time.calls) for once, time in zip(first, times, strict=True)]
    last = max(wanted, default=0)
    with quiet():
        for number in range(last):
            for call, one, share, once in zip(contenders, times, wanted, first, strict=True):
                if (number + 1) * share // last > number * share // last:
                    if flush is None and once < WARMED:
                        call()
                    one.samples.append(_sample(call, one.calls, flush))
                    one.rounds.append(number)
    return times


def call_seconds(call: Callable[[], None]) -> float:
    """Of one warm call, about: the fastest of up to three after the first."""
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    if first > 0.5:
        return first
    return min(_sample(call, 1, None) for _ in range(3))


def paired(a: Times, b: Times) -> tuple[list[float], list[float]]:
    """The samples of the rounds in which both took part."""
    ours, theirs = dict(zip(a.rounds, a.samples, strict=True)), dict(zip(b.rounds, b.samples, strict=True))
    both = [number for number in a.rounds if number in theirs]
    return [ours[number] for number in both], [theirs[number] for number in both]


@contextmanager
def quiet():
    """Without the collector of garbage."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def flusher(threads: int) -> Callable[[], None]:
    """A function that streams through more memory than the caches hold, on as many threads as will compute."""
    from .roof import last_cache
    from .slices import helpers

    buffers = [np.ones(2 * last_cache() // threads // 4, np.float32) for _ in range(threads)]

    def flush():
        others = [helpers(threads).submit(np.add, one, 1, one) for one in buffers[1:]]
        np.add(buffers[0], 1, out=buffers[0])
        for other in others:
            other.result()

    return flush


def wait_until_idle() -> None:
    """Until no other thread of this process is running; where the system does not tell, until hardly any time is used."""
    begin = time.perf_counter()
    while time.perf_counter() - begin < PATIENCE and _others_run():
        time.sleep(0.0005)


def _others_run() -> bool:
    """Time used tells nothing within a few milliseconds: the system counts it tick by tick. The state of a thread does."""
    if not os.path.isdir(TASKS):
        start, used = time.perf_counter(), time.process_time()
        time.sleep(0.005)
        return time.process_time() - used > 0.1 * (time.perf_counter() - start)
    own = str(threading.get_native_id())
    for task in os.listdir(TASKS):
        with suppress(OSError), open(f"{TASKS}/{task}/stat", encoding="ascii", errors="replace") as file:
            if task != own and file.read().rpartition(")")[2].split()[0] == "R":
                return True
    return False


def _rounds(seconds: float, sample: float) -> int:
    if sample > seconds:
        return 1 if sample > 2 * seconds else FEWEST
    return max(FEWEST, min(ROUNDS, round(seconds / sample)))


def _sample(call: Callable[[], None], calls: int, flush: Callable[[], None] | None) -> float:
    if flush is not None:
        flush()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    seconds = (time.perf_counter() - start) / calls
    wait_until_idle()
    return seconds
