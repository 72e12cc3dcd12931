"""One call of a kernel on several threads: each takes a slice of the batch.

Kernels are single-threaded. Arrays of images are cut along the batch, arrays with any axes along the first; weights go to
every slice whole. What is summed over the images (weight gradients, totals) is computed once for each slice, and the sums
are added in the order of the slices, within the call.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..kernels.table import Spec

WHOLE = {"batchnorm_statistics"}        # outputs of slices do not add up


@functools.cache
def helpers(threads: int) -> ThreadPoolExecutor:
    """The pool for the slices behind the first, which the caller computes itself."""
    return ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="minicnn-lab")


def bind(spec: Spec, function: Callable, args: list, threads: int) -> tuple[Callable[[], None], int]:
    """(a call without arguments, the threads that it uses)."""
    cut = [k for k, array in enumerate(spec.arrays) if array.axes[0] in "N*"]
    parts = min(threads, len(args[cut[0]]))
    if parts < 2 or spec.name in WHOLE:
        return functools.partial(function, *args), 1
    summed = [k for k, array in enumerate(spec.arrays) if array.output and k not in cut]
    calls = [_slice(args, cut, summed, part, parts) for part in range(parts)]
    pool = helpers(parts)

    def call():
        others = [pool.submit(function, *given) for given in calls[1:]]
        try:
            function(*calls[0])
        finally:
            for other in others:
                other.exception()               # nothing may still run when an error is told of
        for other, given in zip(others, calls[1:], strict=True):
            other.result()
            for k in summed:
                args[k] += given[k]

    return call, parts


def _slice(args: list, cut: list[int], summed: list[int], part: int, parts: int) -> list:
    given = list(args)
    n = len(args[cut[0]])
    for k in cut:
        given[k] = args[k][n * part // parts: n * (part + 1) // parts]
    for k in summed if part else ():
        given[k] = np.full_like(args[k], np.nan)
    return given
