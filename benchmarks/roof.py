"""What one core can do at best: multiply-adds that never leave the registers, and copies of arrays that fit no cache.

    fma_loop(CHAINS[...])   acc = acc * s + s, in chains that do not wait for each other
    COPIES                  name -> copy(target, source), float32, flat

A multiply-add takes about 4 cycles and two can begin in each, so 8 registers must be under way: with AVX-512 a Vec of 16
lanes is one register and there are 12 chains of 32; with AVX2 it is two, and there are 6 Vecs, 12 of the 16 registers.

The copies: NumPy's is the C library's memcpy, which from a few megabytes on writes past the caches, so that the target is
not read first; the loop of vectors, as the kernels have it, makes the machine read each line of the target before it is
written, three transfers for two. Which is faster is found out on the spot.
"""
from __future__ import annotations

import numpy as np

from minicnn.kernels.contract_cpu import WIDE
from minicnn.kernels.jit import helper
from minicnn.kernels.simd import LANES, fma, load, splat, store, sum_lanes

CHAINS = 12 if WIDE else 6
FMA_TURNS = 2_000_000               # of the loop in one call: some milliseconds
FMA_FLOP = FMA_TURNS * CHAINS * LANES * 2


def _written_out(chains: int):
    """One variable for each chain, with a first value of its own, so that no two are taken for the same."""
    names = [f"a{i}" for i in range(chains)]
    starts = [f"    {a} = splat(first + {i})" for i, a in enumerate(names)]
    lines = ["def loop(turns, first, scale):", "    s = splat(scale)", *starts,
             "    for _ in range(turns):", *(f"        {a} = fma({a}, s, s)" for a in names),
             f"    return sum_lanes({' + '.join(names)})"]
    scope = {"__name__": __name__, "splat": splat, "fma": fma, "sum_lanes": sum_lanes}
    exec("\n".join(lines), scope)
    return helper(scope["loop"])


_loop = _written_out(CHAINS)


def fma_loop() -> float:
    """FMA_FLOP floating-point operations."""
    return _loop(FMA_TURNS, np.float32(2), np.float32(0.5))


@helper
def _vectors(target, source):
    for i in range(0, source.size, LANES):
        store(target, i, load(source, i))


@helper
def _elements(target, source):
    for i in range(source.size):
        target[i] = source[i]


COPIES = {"np.copyto": np.copyto, "a loop of vectors": _vectors, "a plain Numba loop": _elements}
