"""The contract of a layer: weights in the layer, activations in the call, gradients returned.

    y, cache  = layer.forward(x, train=True)
    dx, grads = layer.backward(dy, cache)            grads has the keys of layer.params

`cache` is whatever `backward` needs of the forward pass. A layer never keeps it in `self`: so one layer can be called
from two threads, and a validation in between spoils nothing. Named exceptions: `Dropout` takes random keys (`rng`), and
`BatchNorm` writes its running statistics when `train=True`.

Shapes in `build` have no N: (H, W, C) or (C,). Arrays in `forward` and `backward` have it.
"""
from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import memory
from ..errors import DataError
from ..random import Keys

Shape = tuple[int, ...]


class LayerError(DataError, ValueError):
    """A layer that does not fit its input, or that breaks the contract above."""


class Layer:
    """Base class of all layers, and of the user's own.

    params: name -> array that training changes.  state: name -> array that it does not (running statistics).
    per_image: True when images are treated one by one; then the engine calls `forward` and `backward` on shards of the
    batch and adds up the shards' gradients. With the default, False, the layer gets the whole batch in one call.
    children: the layers inside a layer.  name, stream (of random numbers), input_shape, output_shape: set by the net.
    taken: True once the layer is part of a net; its weights belong there.
    recordable: True where forward and backward do nothing but call kernels on arrays of `memory` and take views of them, so
    that the calls can be recorded once and played back (tape.py). Layers of this package say so; the default is False.
    """

    per_image = False
    recordable = False
    children: tuple[Layer, ...] = ()
    params: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    name: str
    stream: int
    input_shape: Shape | None
    output_shape: Shape | None
    taken: bool

    def __new__(cls, *args, **kwargs):
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__} takes no arguments")
        layer = super().__new__(cls)        # not in __init__: an own layer may write one that does not call ours
        vars(layer).update(params={}, state={}, name=cls.__name__.lower(), stream=0, taken=False,
                           input_shape=None, output_shape=None)
        return layer

    def build(self, input_shape: Shape, rng) -> Shape:
        """Make `params` for inputs of `input_shape`; return the output's shape. `rng`: a NumPy Generator."""
        return input_shape

    def forward(self, x: np.ndarray, train: bool = False, rng: Keys | None = None) -> tuple[np.ndarray, Any]:
        """y, cache. `x` (N, *input_shape); `y` (N, *output_shape) in the dtype of x."""
        raise LayerError(f"{type(self).__name__} has no forward(x, train=False, rng=None).")

    def backward(self, dy: np.ndarray, cache: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """dx, grads of the loss, from dy of the shape of y; grads are summed over the images of the call."""
        raise LayerError(f"{type(self).__name__} has no backward(dy, cache).")

    def backward_weights(self, dy: np.ndarray, cache: Any) -> dict[str, np.ndarray]:
        """grads alone: nobody asks for dx of a net's first layer."""
        return pair_of(self, "backward", self.backward(dy, cache))[1]

    def whole_batch(self, train: bool) -> bool:
        """Whether the images of a batch depend on each other in this pass."""
        return not self.per_image

    def forward_shards(self, xs: list, train: bool, rngs: list | None, run: Callable) -> list[tuple[np.ndarray, Any]]:
        """(y, cache) of each shard, for a layer that needs the whole batch. `run(f, *lists)` maps over shards."""
        x = join(xs)
        y, cache = pair_of(self, "forward", self.forward(x, train, join_keys(rngs)))
        return [(part, cache) for part in split(check_forward(self, y, len(x), x.dtype), xs)]

    def backward_shards(self, dys: list, caches: list, run: Callable) -> tuple[list, dict[str, np.ndarray]]:
        """The shards' dx, and grads of the whole batch."""
        dy = join(dys)
        dx, grads = pair_of(self, "backward", self.backward(dy, caches[0]))
        check_backward(self, dx, (len(dy), *self.input_shape), grads, dy.dtype)
        return split(dx, dys), grads

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, each read from the attribute of the same name: plain numbers and strings."""
        try:
            return {name: getattr(self, name) for name in _arguments(type(self))}
        except AttributeError as missing:
            raise LayerError(f"{type(self).__name__}.__init__ must keep its argument as self.{missing.name}, "
                             f"or {type(self).__name__} must write config() and from_config().") from None

    @classmethod
    def from_config(cls, config: dict[str, Any], registry: dict[str, type[Layer]] | None = None) -> Layer:
        """The layer `config()` came from, not yet built. `registry`: name -> class, for a layer that holds layers."""
        return cls(**config)

    def flops(self, input_shape: Shape, output_shape: Shape) -> int:
        """Multiply-adds of one image's forward pass."""
        return 0

    def kept_bytes(self, input_shape: Shape, output_shape: Shape, itemsize: int) -> int:
        """Bytes that one image's forward pass leaves for backward: y, which is also the next layer's x."""
        return math.prod(output_shape) * itemsize

    def __repr__(self):
        try:
            values = self.config()
        except LayerError:
            return f"{type(self).__name__}(...)"
        defaults, shown = _arguments(type(self)), []
        for name, value in values.items():
            default = defaults.get(name, inspect.Parameter.empty)
            pair = isinstance(value, tuple | list) and len(value) == 2 and value[0] == value[1]
            value = value[0] if pair else value
            if default is inspect.Parameter.empty:
                shown.append(repr(value))
            elif repr(value) != repr(default):
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def build(layer: Layer, input_shape: Shape, rng) -> Shape:
    """Call `layer.build` and hold it to its contract; record both shapes on the layer. Returns the output shape.

    rng=None asks for placeholders instead of weights (see initializers.py), which an own layer knows nothing of.
    """
    if rng is None and not type(layer).__module__.startswith(__package__):
        rng = np.random.default_rng(0)
    shape = layer.build(input_shape, rng)
    if not isinstance(shape, tuple) or not shape or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
        raise LayerError(f"{type(layer).__name__}.build returned {shape!r}; "
                         "it must return the output's shape without N, as (H, W, C) or (C,).")
    for kind in ("params", "state"):
        for name, array in getattr(layer, kind).items():
            if not isinstance(array, np.ndarray):
                raise LayerError(f"{type(layer).__name__}.{kind}[{name!r}] must be a NumPy array, not {_found(array)}.")
    layer.input_shape, layer.output_shape = input_shape, tuple(int(n) for n in shape)
    return layer.output_shape


def pair_of(layer: Layer, method: str, result: Any) -> tuple:
    """What `forward` or `backward` returned, held to being a pair."""
    if not isinstance(result, tuple) or len(result) != 2:
        wanted = "(y, cache)" if method == "forward" else "(dx, {name: gradient})"
        raise LayerError(f"{type(layer).__name__}.{method} returned {_found(result)}; it must return {wanted}.")
    return result


def check_forward(layer: Layer, y: Any, n: int, dtype: np.dtype) -> np.ndarray:
    """y of `layer.forward` for n images, held to the contract; C-contiguous, as the kernels want it."""
    if not isinstance(y, np.ndarray) or y.shape != (n, *layer.output_shape):
        raise LayerError(f"{type(layer).__name__}.forward returned {_found(y)}; "
                         f"its build promised {shape_text((n, *layer.output_shape))}.")
    if y.dtype != dtype:
        raise LayerError(f"{type(layer).__name__}.forward returned {y.dtype}; its input was {np.dtype(dtype)}.")
    return np.ascontiguousarray(y)


def check_backward(layer: Layer, dx: Any, x_shape: Shape, grads: Any, dtype=None, need_dx: bool = True) -> None:
    """Hold what `layer.backward` returned to the contract. dtype: that of dy.  need_dx: False where only grads count.

    Raises LayerError, for example: MyLayer.backward returned (32,10); its input was (32,7,7,16).
    """
    who = f"{type(layer).__name__}.backward"
    if need_dx and (not isinstance(dx, np.ndarray) or dx.shape != tuple(x_shape)):
        raise LayerError(f"{who} returned {_found(dx)}; its input was {shape_text(x_shape)}.")
    if need_dx and dtype is not None and dx.dtype != dtype:
        raise LayerError(f"{who} returned {dx.dtype}; its dy was {np.dtype(dtype)}.")
    if not isinstance(grads, dict) or grads.keys() != layer.params.keys():
        found = sorted(grads) if isinstance(grads, dict) else type(grads).__name__
        raise LayerError(f"{who} returned the gradients {found}; its params are {sorted(layer.params)}.")
    for name, grad in grads.items():
        if not isinstance(grad, np.ndarray) or grad.shape != layer.params[name].shape:
            raise LayerError(f"{who} returned {_found(grad)} for {name}; "
                             f"its shape is {shape_text(layer.params[name].shape)}.")
        if dtype is not None and grad.dtype != dtype:
            raise LayerError(f"{who} returned {grad.dtype} for {name}; its dy was {np.dtype(dtype)}.")


def in_order(function: Callable, *lists: list) -> list:
    """The plainest `run`: maps over the shards on the caller's thread."""
    return [function(*items) for items in zip(*lists, strict=True)]


def join(shards: list[np.ndarray]) -> np.ndarray:
    """The batch a list of shards was cut from."""
    if len(shards) == 1:
        return shards[0]
    rows = sum(len(shard) for shard in shards)
    return np.concatenate(shards, out=memory.empty((rows, *shards[0].shape[1:]), shards[0].dtype))


def split(batch: np.ndarray, shards: list[np.ndarray]) -> list[np.ndarray]:
    """`batch` cut where the shards are cut: views."""
    ends = np.cumsum([len(shard) for shard in shards])
    return [batch[end - len(shard):end] for end, shard in zip(ends, shards, strict=True)]


def join_keys(rngs: list | None) -> Keys | None:
    """The random keys of a batch, from those of its shards."""
    if rngs is None or rngs[0] is None:
        return None
    return Keys(rngs[0].seed, rngs[0].epoch, np.concatenate([keys.samples for keys in rngs]))


def shape_text(shape) -> str:
    """(7, 7, 32) as '(7,7,32)', (7,) as '(7,)'."""
    return f"({','.join(map(str, shape))}{',' * (len(shape) == 1)})"


def batch_text(shape: Shape) -> str:
    """(7, 7, 32) as '(N,7,7,32)'."""
    return shape_text(("N", *shape))


def _found(value: Any) -> str:
    return shape_text(value.shape) if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _arguments(cls: type[Layer]) -> dict[str, Any]:
    """Name -> default of the constructor's arguments."""
    if cls.__init__ is object.__init__:
        return {}
    _, *parameters = inspect.signature(cls.__init__).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}
