"""Windows that slide over a map: the geometry that convolution and pooling share.

    P = floor((H + top + bottom - size_h) / stride_h) + 1          and Q alike, with W, left, right

"valid" pads nothing. "same" is TensorFlow's: P = ceil(H / stride_h), the pads are as equal as they can be and the extra
row stands at the end. Source: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", sections
2 and 4.
"""
from __future__ import annotations

from ..arguments import whole
from .base import Layer, LayerError, Shape, batch_text

LARGEST = 4096              # filter extents, strides and pads: room for any real net, a bound for a hostile file
Padding = str | int | tuple[int, int, int, int]


class MapVanished(LayerError):
    """A window larger than the padded map. layer: whose window; output: (P, Q), 0 where no window fits."""

    def __init__(self, message: str, layer: Layer, output: tuple[int, int]):
        super().__init__(message)
        self.layer, self.output = layer, output


def pair(value, name: str) -> tuple[int, int]:
    """An int for both axes, or (height, width)."""
    both = value if isinstance(value, tuple | list) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{name} must be an integer or a pair (height, width), got {value!r}")
    return whole(both[0], name, high=LARGEST), whole(both[1], name, high=LARGEST)


def checked_padding(value) -> Padding:
    """"valid", "same", an int for all sides, or (top, bottom, left, right)."""
    if isinstance(value, str):
        if value not in ("valid", "same"):
            raise ValueError(f'padding must be "valid", "same", a number or (top, bottom, left, right), got {value!r}')
        return value
    if isinstance(value, tuple | list):
        if len(value) != 4:
            raise ValueError(f"padding must have four sides (top, bottom, left, right), got {value!r}")
        return tuple(whole(side, "padding", 0, LARGEST) for side in value)
    return whole(value, "padding", 0, LARGEST)


def pads(padding: Padding, height: int, width: int, size: tuple, stride: tuple) -> tuple[int, int, int, int]:
    """Rows and columns of padding (top, bottom, left, right) for a map of height x width."""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":
        return *_same(height, size[0], stride[0]), *_same(width, size[1], stride[1])
    return padding if isinstance(padding, tuple) else (padding,) * 4


def _same(extent: int, size: int, stride: int) -> tuple[int, int]:
    outputs = -(-extent // stride)
    total = max(0, (outputs - 1) * stride + size - extent)
    return total // 2, total - total // 2


def output_extents(layer: Layer, height: int, width: int) -> tuple[int, int]:
    """(P, Q) of a layer with `size`, `stride` and `padding`. Raises MapVanished where no window fits."""
    top, bottom, left, right = pads(layer.padding, height, width, layer.size, layer.stride)
    p = max(0, (height + top + bottom - layer.size[0]) // layer.stride[0] + 1)
    q = max(0, (width + left + right - layer.size[1]) // layer.stride[1] + 1)
    if p == 0 or q == 0:
        raise MapVanished(f"{layer!r} got a map of {height}x{width}: its output would be {p}x{q}.", layer, (p, q))
    return p, q


def map_shape(layer: Layer, input_shape: Shape) -> Shape:
    """(H, W, C), or an error that says what a layer for maps was given."""
    if len(input_shape) != 3:
        raise LayerError(f"{layer!r} got {batch_text(input_shape)}: it needs maps (N,H,W,C), before any Flatten().")
    return input_shape
