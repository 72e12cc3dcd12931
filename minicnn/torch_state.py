"""Weights in PyTorch's layout, and back. NumPy only: PyTorch is not imported.

    | here                          | there                                                           |
    |-------------------------------|-----------------------------------------------------------------|
    | conv w (R,S,C,K), b (K,)      | weight (K,C,R,S), bias (K,)                                     |
    | dense w (C,K), b (K,)         | weight (K,C), bias (K,)                                         |
    | gamma, beta, mean, var (C,)   | weight, bias, running_mean, running_var (C,)                    |
    | Flatten gives (h, w, c) order | nn.Flatten gives (c, h, w): the rows of the next dense layer's w are reordered |

Keys count the layers: `3.weight` belongs to net.layers[3], so the net in PyTorch has one module for each layer here.
GlobalAvgPool2D is `nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())` there, and Residual a module with the members
`layers` and `shortcut`, both nn.Sequential: `3.layers.0.weight`.

    torch_net.load_state_dict({key: torch.from_numpy(array) for key, array in to_torch_state(net).items()})
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .layers import BatchNorm, Conv2D, Dense, Flatten, Residual
from .layers.base import shape_text
from .sequential import Sequential

_BATCHNORM = (("gamma", "weight"), ("beta", "bias"), ("mean", "running_mean"), ("var", "running_var"))


def to_torch_state(net: Sequential) -> dict[str, np.ndarray]:
    """Copies of all weights under PyTorch's keys, in PyTorch's layouts."""
    state = {}
    for key, array, axes, rows in _entries(net.layers):
        there = array if rows is None else array[rows]
        state[key] = np.array(there.transpose(axes), order="C")
        if key.endswith("running_var"):
            state[key.replace("running_var", "num_batches_tracked")] = np.array(0, np.int64)
    return state


def from_torch_state(net: Sequential, state: dict) -> None:
    """Copy a PyTorch state (arrays or CPU tensors) into the net's weights.

    Raises ValueError where keys are missing or left over, or a shape does not fit; the net is then unchanged.
    """
    entries = list(_entries(net.layers))
    given = {key: np.asarray(array) for key, array in state.items() if not key.endswith("num_batches_tracked")}
    keys = {key for key, *_ in entries}
    missing, unknown = sorted(keys - given.keys()), sorted(given.keys() - keys)
    if missing or unknown:
        raise ValueError(f"the state does not fit the net: missing {missing or 'none'}, unknown {unknown or 'none'}")
    for key, array, axes, _ in entries:
        if given[key].shape != array.transpose(axes).shape:
            raise ValueError(f"{key} has shape {shape_text(given[key].shape)}, "
                             f"the net needs {shape_text(array.transpose(axes).shape)}")
    for key, array, axes, rows in entries:
        here = given[key].transpose(np.argsort(axes))
        array[slice(None) if rows is None else rows] = here


def _entries(layers, prefix: str = "") -> Iterator[tuple[str, np.ndarray, tuple[int, ...], np.ndarray | None]]:
    """(key, array here, its axes in PyTorch's order, its rows in PyTorch's order or None where that is the same)."""
    rows = None
    for number, layer in enumerate(layers):
        key = f"{prefix}{number}."
        if isinstance(layer, Flatten):
            rows = _rows(layer.input_shape)
        elif isinstance(layer, Conv2D | Dense):
            yield key + "weight", layer.params["w"], (3, 2, 0, 1) if isinstance(layer, Conv2D) else (1, 0), rows
            rows = None                         # a dense layer's outputs stand in the same order on both sides
            if layer.bias:
                yield key + "bias", layer.params["b"], (0,), None
        elif isinstance(layer, BatchNorm):
            for name, there in _BATCHNORM:
                yield key + there, (layer.params | layer.state)[name], (0,), rows
        elif isinstance(layer, Residual):
            yield from _entries(layer.layers, key + "layers.")
            yield from _entries(layer.shortcut, key + "shortcut.")
        elif layer.params or layer.state:
            raise ValueError(f"{layer.name}: {type(layer).__name__} has no counterpart in PyTorch")


def _rows(shape: tuple[int, ...]) -> np.ndarray | None:
    """Place in (h, w, c) order of each element, listed in (c, h, w) order."""
    return np.arange(np.prod(shape)).reshape(shape).transpose(2, 0, 1).ravel() if len(shape) == 3 else None
