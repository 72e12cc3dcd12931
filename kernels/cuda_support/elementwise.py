"""Kernels that go element by element: each thread takes four elements in a row, in 128-bit accesses.

What is done to one element is a function: of the elements of the arrays that the kernel reads (inputs, and what is
updated in place), in the table's order, then of its numbers. It returns those of the arrays that are written. Since the
number of arrays differs, the kernel's text is made here. For y = f(x, slope):

    def leaky_relu_forward(x, y, n0, size):
        i = (int32(cuda.blockIdx.x) * int32(256) + int32(cuda.threadIdx.x)) * int32(4)
        if i + int32(4) <= size:
            x0, x1, x2, x3 = ldv4(x, i)
            y0 = each(x0, n0)
            ...
            stv4(y, i, y0, y1, y2, y3)
        else:
            for j in range(i, size):
                x0 = ld1(x, j)
                y0 = each(x0, n0)
                st1(y, j, y0)
"""
import functools
import linecache

import numpy as np

from ..table import SPECS
from . import blocks
from ._compat import cuda, device, float32, int32
from .intrinsics import ld1, ldv4, st1, stv4
from .launch import Launch
from .spec import KernelSpec

_TYPES = {"float": "float32", "uint8": "uint8"}


def elementwise(name, each, arrays, numbers=()):
    """The launch of kernel `name`: each(elements..., numbers...) -> elements, on arrays of one size."""
    spec = _spec(name, each, len(numbers), blocks.ELEMENTS)
    size = arrays[0].size
    return [Launch(spec, (-(-size // (4 * spec.block)),), *arrays, *map(np.float32, numbers), np.int32(size))]


@functools.cache
def _spec(name, each, count, block):
    arrays = SPECS[name].arrays
    reads = [a.name for a in arrays if a.updated or not a.output]
    writes = [a.name for a in arrays if a.output]
    numbers = [f"n{k}" for k in range(count)]
    text = _text(name, [a.name for a in arrays], reads, writes, numbers, block)
    place = f"<{name} of {block} threads>"
    linecache.cache[place] = len(text), None, text.splitlines(keepends=True), place
    namespace = {"cuda": cuda, "int32": int32, "ld1": ld1, "ldv4": ldv4, "st1": st1, "stv4": stv4, "each": device(each)}
    exec(compile(text, place, "exec"), namespace)
    types = [f"{_TYPES[a.dtype]}[::1]" for a in arrays] + [float32.name] * count + [int32.name]
    return KernelSpec(namespace[name], f"void({', '.join(types)})", block)


def _text(name, arrays, reads, writes, numbers, block):
    def apply(k):
        return f"{', '.join(a + k for a in writes)} = each({', '.join([a + k for a in reads] + numbers)})"

    def four(array):
        return ", ".join(f"{array}{k}" for k in range(4))

    vector = [f"{four(a)} = ldv4({a}, i)" for a in reads] + [apply(str(k)) for k in range(4)]
    vector += [f"stv4({a}, i, {four(a)})" for a in writes]
    single = [f"{a}0 = ld1({a}, j)" for a in reads] + [apply("0")] + [f"st1({a}, j, {a}0)" for a in writes]
    return "\n".join([f"def {name}({', '.join([*arrays, *numbers, 'size'])}):",
                      f"    i = (int32(cuda.blockIdx.x) * int32({block}) + int32(cuda.threadIdx.x)) * int32(4)",
                      "    if i + int32(4) <= size:", *(f"        {line}" for line in vector),
                      "    else:", "        for j in range(i, size):", *(f"            {line}" for line in single), ""])
