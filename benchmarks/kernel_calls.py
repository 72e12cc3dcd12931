"""Calls of any kernel of the table, made from nothing but the extents of its axes.

    call = Call("maxpool2d_forward", {"N": 8, "H": 32, "W": 32, "C": 64, "P": 16, "Q": 16}, size_h=2, size_w=2, ...)
    call.function(*call.args)        call.bytes: each array read or written once, those that are updated twice

Arrays of the column's float with more than BIG values are taken from a stock, the n-th argument from its n-th array: to make
new noise for each kernel would take longer than to time it. `wrong` holds a call to the reference column.
"""
from __future__ import annotations

import functools
import math

import numpy as np
from figures import disagreement

from minicnn import kernels

BIG = 1 << 16
TOLERANCE = 1e-4
NUMBERS = {         # arguments that matter to the time in no way
    "stride_h": 1, "stride_w": 1, "pad_top": 0, "pad_left": 0, "step": 3, "count": 1000, "slope": 0.01, "eps": 1e-5, "lr": 1e-4,
    "momentum": 0.9, "weight_decay": 1e-4, "beta1": 0.9, "beta2": 0.999,
}


@functools.cache
def _stock(number: int, size: int) -> np.ndarray:
    noise = np.random.default_rng(number).standard_normal(size, np.float32)
    return np.abs(noise, out=noise) if number == 3 else noise           # Adam's v, of which a root is taken


class Call:
    """One kernel with its arguments. like: the shape behind the axes `*`."""

    def __init__(self, name: str, extents: dict[str, int], like: tuple[int, ...] = (), stock: int = 0, **numbers):
        self.name, self.spec, self.function = name, kernels.SPECS[name], kernels.function("cpu", name)
        rng, numbers = np.random.default_rng(0), NUMBERS | numbers
        shapes = [like if array.axes == "*" else tuple(extents[axis] for axis in array.axes) for array in self.spec.arrays]
        self.arrays = [self._array(rng, i, array, shape, stock)
                       for i, (array, shape) in enumerate(zip(self.spec.arrays, shapes, strict=True))]
        self.args = [*self.arrays, *(numbers[key] for key in self.spec.integers + self.spec.floats)]
        self.bytes = sum(value.nbytes * (1 + array.updated) for value, array in zip(self.arrays, self.spec.arrays, strict=True))

    def _array(self, rng, number: int, array, shape: tuple[int, ...], stock: int) -> np.ndarray:
        size = math.prod(shape)
        if array.dtype == "uint8":
            return rng.integers(0, 4, shape, np.uint8)
        if size > BIG:
            return _stock(number, max(size, stock))[:size].reshape(shape)
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)

    def run(self) -> None:
        self.function(*self.args)

    def outputs(self, column: str) -> list[np.ndarray]:
        """What comes out of a column, of copies of the arguments."""
        args = [value.copy() if isinstance(value, np.ndarray) else value for value in self.args]
        kernels.function(column, self.name)(*args)
        found = {array.name: value.astype(np.float64) for value, array in zip(args, self.spec.arrays, strict=False)
                 if array.output}
        if "rest" in found:                         # of a mean: what its rounding left, another in each column
            found["mean"] += found.pop("rest")
        return list(found.values())

    def wrong(self) -> float:
        """How far the outputs lie from the reference, relative to the largest value."""
        return float(np.max([disagreement(pair) for pair in zip(self.outputs("cpu"), self.outputs("reference"), strict=True)]))
