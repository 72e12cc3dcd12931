"""The roof of this machine, measured now: what arithmetic alone and memory alone can reach.

    peak        GFLOP/s of a loop of multiply-adds that touches nothing but registers, two flops each
    bandwidth   GB/s of copying arrays far larger than the last cache, bytes read plus bytes written

Every multiply-add waits for the one before it in its accumulator, about four cycles, and two can start in a cycle: eight
vectors must be under way. An accumulator is 16 lanes: with AVX-512 twelve of them are 12 of 32 registers; with AVX2, where
each takes two of 16, five are 10, and the two factors take 4. The best of several runs counts, since whatever disturbs a run
can only slow it down. Measured once in a process for each number of threads.
"""
from __future__ import annotations

import functools
import time
from pathlib import Path

import numpy as np

RUNS, SECONDS = 7, 0.02             # of a run, about
LARGEST_COPY = 256 << 20            # bytes of both arrays of a thread
UNKNOWN_CACHE = 32 << 20


@functools.cache
def measure(threads: int = 1) -> tuple[float, float]:
    """(GFLOP/s, GB/s) of `threads` threads together."""
    return peak(threads), bandwidth(threads)


def peak(threads: int) -> float:
    """GFLOP/s of the multiply-add loop."""
    loop, accumulators, lanes = _loop()
    out = np.empty((threads, accumulators * lanes), np.float32)
    flops_of_pass, passes = 2 * accumulators * lanes, 1 << 10
    while (seconds := _together(loop, [(out[0], passes)])) < SECONDS:
        passes = int(passes * min(16.0, max(2.0, 1.2 * SECONDS / max(seconds, 1e-7))))
    best = min(_together(loop, [(row, passes) for row in out]) for _ in range(RUNS))
    return threads * passes * flops_of_pass / best / 1e9


def bandwidth(threads: int) -> float:
    """GB/s of a copy."""
    size = min(LARGEST_COPY // 2, max(16 << 20, 2 * last_cache() // threads))
    pairs = [(np.zeros(size, np.uint8), np.ones(size, np.uint8)) for _ in range(threads)]
    best = min(_together(np.copyto, pairs) for _ in range(RUNS))
    return 2 * size * threads / best / 1e9


def last_cache() -> int:
    """Bytes of the largest cache; a guess where the system does not say."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KMG") or 0) * factor)
    return max(sizes, default=0) or UNKNOWN_CACHE


def _together(function, calls: list[tuple]) -> float:
    """Seconds until all calls, each on a thread of its own, are done."""
    from .slices import helpers

    start = time.perf_counter()
    others = [helpers(len(calls)).submit(function, *call) for call in calls[1:]]
    function(*calls[0])
    for other in others:
        other.result()
    return time.perf_counter() - start


@functools.cache
def _loop():
    """(the compiled loop(out, passes), accumulators, lanes)."""
    from ..kernels.contract_cpu import WIDE
    from ..kernels.jit import helper
    from ..kernels.simd import LANES, fma, splat, store

    count = 12 if WIDE else 5
    names = [f"a{k}" for k in range(count)]
    lines = ["def loop(out, passes):", "    v, w = splat(0.999), splat(0.001)"]
    lines += [f"    {name} = splat({k}.0)" for k, name in enumerate(names)]
    lines += ["    for _ in range(passes):"] + [f"        {name} = fma({name}, v, w)" for name in names]
    lines += [f"    store(out, {LANES * k}, {name})" for k, name in enumerate(names)]
    scope = {"splat": splat, "fma": fma, "store": store, "__name__": __name__}
    exec("\n".join(lines), scope)               # written out, so that each accumulator is a variable: a register
    loop = helper(scope["loop"])
    loop(np.empty(count * LANES, np.float32), 1)
    return loop, count, LANES
