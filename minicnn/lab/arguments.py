"""The arrays of one call, as the lab makes them: aligned, outputs poisoned, a margin around each that nobody may touch.

Random data are normal numbers. Integer data are whole numbers in [-4, 4], for which most kernels are exact. An output is
full of NaN (bytes: 0xCB) before the call, and around every array lie 4 KiB of 0xA5: a kernel that leaves a place out, or
writes beside its array, is found out.
"""
from __future__ import annotations

import math

import numpy as np

from ..kernels import SPECS
from .problems import Problem

MARGIN, ALIGNMENT = 4096, 64
UNTOUCHED, POISON = 0xA5, 0xCB
NUMBERS = {             # floats and integers of a call: for integer data halves and quarters, so that products stay exact
    True: {"slope": 0.25, "eps": 0.0, "rate": 0.5, "label_smoothing": 0.25, "scale": 0.25, "lr": 0.5, "momentum": 0.5,
           "weight_decay": 0.25, "beta1": 0.5, "beta2": 0.75, "step": 1, "seed": 3, "stream": 1, "epoch": 2},
    False: {"slope": 0.01, "eps": 1e-5, "rate": 0.5, "label_smoothing": 0.1, "scale": 1 / 128, "lr": 1e-4, "momentum": 0.9,
            "weight_decay": 5e-4, "beta1": 0.9, "beta2": 0.999, "step": 10, "seed": 3, "stream": 1, "epoch": 2},
}
_POSITIVE = {"var", "v", "weights"}


def build(problem: Problem, integers: bool = False, seed: int = 0) -> list:
    """The arguments of one call, in order."""
    spec, rng = SPECS[problem.kernel], np.random.default_rng(seed)
    arrays = []
    for array in spec.arrays:
        dtype = np.dtype(np.float32 if array.dtype == "float" else array.dtype)
        value = guarded(problem.extents(array), dtype)
        if array.output and not array.updated:
            poison(value)
        else:
            value[...] = _values(array, value.shape, problem.shape, rng, integers)
        arrays.append(value)
    numbers = NUMBERS[integers] | problem.shape
    return arrays + [numbers[name] for name in spec.integers + spec.floats]


def guarded(shape: tuple[int, ...], dtype) -> np.ndarray:
    """An array that begins at a line of the cache, between two margins."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    whole = np.empty(size + 2 * MARGIN + ALIGNMENT, np.uint8)
    start = MARGIN + -(whole.ctypes.data + MARGIN) % ALIGNMENT
    whole[:start], whole[start + size:] = UNTOUCHED, UNTOUCHED
    return whole[start: start + size].view(dtype).reshape(shape)


def margins_are_untouched(array: np.ndarray) -> bool:
    """Whether the bytes around an array from `guarded` are what they were."""
    whole = array.base
    while whole.base is not None:
        whole = whole.base
    start = array.ctypes.data - whole.ctypes.data
    return bool((whole[:start] == UNTOUCHED).all() and (whole[start + array.nbytes:] == UNTOUCHED).all())


def poison(array: np.ndarray) -> None:
    """Fill an output with what no kernel writes."""
    array[...] = np.nan if array.dtype.kind == "f" else POISON


def _values(array, extents, shape, rng, integers):
    if array.name == "labels":
        return rng.integers(0, shape["K"], extents)
    if array.name == "samples":
        return np.arange(extents[0])
    if array.name == "argmax":
        return _taps(extents, shape, rng)
    if array.name == "mask":
        return rng.integers(0, 2, extents, np.uint8)
    if integers:
        return 4.0 ** rng.integers(-1, 2, extents) if array.name in _POSITIVE else rng.integers(-4, 5, extents)
    values = rng.standard_normal(extents, np.float32)
    return 0.1 + np.abs(values) if array.name in _POSITIVE else values


def _taps(extents, shape, rng):
    """A tap of each window (N, P, Q, C) that lies on the image."""
    rows = _within(extents[1], shape["size_h"], shape["stride_h"], shape["pad_top"], shape["H"], extents, rng, 1)
    cols = _within(extents[2], shape["size_w"], shape["stride_w"], shape["pad_left"], shape["W"], extents, rng, 2)
    return rows * shape["size_w"] + cols


def _within(places, size, stride, pad, extent, extents, rng, axis):
    starts = np.arange(places) * stride - pad
    low, high = np.maximum(0, -starts), np.minimum(size, extent - starts)
    around = [places if k == axis else 1 for k in range(4)]
    return rng.integers(low.reshape(around), high.reshape(around), extents)
