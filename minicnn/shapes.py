"""Shape inference: each layer is built for the output of the one before it, and what does not fit is named.

    layer 5 Dense(10) got (N,7,7,32): put Flatten() before it.
    After pool 3 the map would be 0x0 (input 12x12). Use --size 32 or a net with fewer pools.
"""
from __future__ import annotations

import copy

from . import random
from .arguments import whole
from .layers import AvgPool2D, Conv2D, LayerError, MaxPool2D
from .layers.base import Shape, build
from .layers.chain import flatten
from .layers.windows import MapVanished

SIZES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256, 384, 512)      # what --size is advised to be


def checked_shape(input_shape) -> Shape:
    """(H, W, C) or (C,) as a tuple of positive ints."""
    if not isinstance(input_shape, tuple | list) or len(input_shape) not in (1, 3):
        raise ValueError(f"input_shape must be (H, W, C) or (C,), without N; got {input_shape!r}")
    return tuple(whole(extent, "an extent of input_shape") for extent in input_shape)


def build_layers(layers, input_shape: Shape, seed: int | None) -> Shape:
    """Build all layers in order and return the shape of the last one's output.

    seed: each layer draws its weights from a generator of its own, keyed (seed, stream); None makes placeholders that
    take no memory. Raises LayerError that names the first layer which does not fit.
    """
    shape = input_shape
    for number, layer in enumerate(layers, 1):
        rng = None if seed is None else random.generator(seed, layer.stream)
        try:
            shape = build(layer, shape, rng)
        except MapVanished as error:
            raise LayerError(_too_small(error, layers, input_shape)) from None
        except LayerError as error:
            raise LayerError(f"layer {number} {error}") from None
    return shape


def _too_small(error: MapVanished, layers, input_shape: Shape) -> str:
    """The message for a map that shrank to nothing, with a size of input at which it does not."""
    pools = [layer for layer in flatten(layers) if isinstance(layer, MaxPool2D | AvgPool2D)]
    convs = [layer for layer in flatten(layers) if isinstance(layer, Conv2D)]
    kind, alike = ("pool", pools) if error.layer in pools else ("conv", convs)
    place, (p, q), (height, width, channels) = alike.index(error.layer) + 1, error.output, input_shape
    fitting = (size for size in SIZES if size > min(height, width) and _fits(layers, (size, size, channels)))
    size = next(fitting, None)
    larger, fewer = f"--size {size}" if size else "a larger input", "pools" if pools else "convolutions"
    return (f"After {kind} {place} the map would be {p}x{q} (input {height}x{width}). "
            f"Use {larger} or a net with fewer {fewer}.")


def _fits(layers, input_shape: Shape) -> bool:
    shape = input_shape
    try:
        for layer in copy.deepcopy(layers):
            shape = build(layer, shape, None)
    except LayerError:
        return False
    return True
