"""One layer a file; REGISTRY is the one list of them: saving and opening, summaries and exports read it."""
from __future__ import annotations

from .activations import GELU, LeakyReLU, ReLU, Sigmoid, Tanh
from .base import Layer, LayerError, check_backward, check_forward
from .batchnorm import BatchNorm
from .conv2d import Conv2D
from .dense import Dense
from .dropout import Dropout
from .flatten import Flatten
from .pool2d import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from .residual import Residual
from .softmax import Softmax

REGISTRY: dict[str, type[Layer]] = {layer.__name__: layer for layer in (
    Conv2D, MaxPool2D, AvgPool2D, GlobalAvgPool2D, Dense, Flatten, ReLU, LeakyReLU, Sigmoid, Tanh, GELU, Softmax,
    Dropout, BatchNorm, Residual,
)}


def to_spec(layer: Layer) -> dict:
    """A layer as plain data: {"layer": "Conv2D", "filters": 16, ...}, the form it has in a model file."""
    return {"layer": type(layer).__name__, **layer.config()}


def from_spec(spec: dict, registry: dict[str, type[Layer]] | None = None) -> Layer:
    """The layer of `to_spec`, not yet built. registry: the classes a spec may name, REGISTRY by default.

    Raises LayerError for an unknown name and for arguments that the layer refuses.
    """
    known = REGISTRY if registry is None else registry
    config = dict(spec)
    name = config.pop("layer", None)
    if not isinstance(name, str) or name not in known:
        raise LayerError(f"no layer {name!r}; known: {', '.join(known)}")
    try:
        return known[name].from_config(config, known)
    except (TypeError, ValueError, KeyError) as error:
        raise LayerError(f"{name}: {error}") from error


__all__ = [*REGISTRY, "REGISTRY", "Layer", "LayerError", "check_backward", "check_forward", "from_spec", "to_spec"]
