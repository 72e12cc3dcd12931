"""The net as a table: shapes, parameters, multiply-adds, and the memory that backpropagation keeps for each image."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .layers.base import Layer, batch_text

if TYPE_CHECKING:
    from .sequential import Sequential

HEADER = ("layer", "name", "output", "parameters", "multiply-adds", "kept bytes")


def parameter_count(layers) -> int:
    """Numbers that training changes."""
    return sum(array.size for layer in layers for array in layer.params.values())


def multiply_adds(layers) -> int:
    """Multiply-adds of one image's forward pass."""
    return sum(layer.flops(layer.input_shape, layer.output_shape) for layer in layers)


def backprop_bytes(layers, itemsize: int) -> int:
    """What one image's forward pass keeps for backward: the input, and every layer's output and cache."""
    x = math.prod(layers[0].input_shape) * itemsize
    return x + sum(_kept(layer, itemsize) for layer in layers)


def table(net: Sequential) -> str:
    """One line a layer, the columns aligned; numbers are per image."""
    rows = [HEADER, ("", "", batch_text(net.input_shape), "", "", "")]
    for number, layer in enumerate(net.layers, 1):
        numbers = (parameter_count([layer]), multiply_adds([layer]), _kept(layer, net.dtype.itemsize))
        rows.append((f"{number:>2} {_short(layer)}", layer.name, batch_text(layer.output_shape),
                     *(f"{n:,}" for n in numbers)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) if column < 3 else cell.rjust(width)
                       for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]
    total = (f"{len(net.layers)} layers, {parameter_count(net.layers):,} parameters ({net.dtype}); for each image "
             f"{multiply_adds(net.layers):,} multiply-adds and "
             f"{backprop_bytes(net.layers, net.dtype.itemsize):,} bytes kept for backprop")
    return "\n".join([*lines, total])


def _kept(layer: Layer, itemsize: int) -> int:
    return layer.kept_bytes(layer.input_shape, layer.output_shape, itemsize)


def _short(layer: Layer) -> str:
    return f"{type(layer).__name__} of {len(layer.children)} layers" if layer.children else repr(layer)
