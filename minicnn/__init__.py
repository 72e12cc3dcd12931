"""minicnn: convolutional networks on NumPy and Numba, made to be read.

    import minicnn as mc

Names are imported when first used, so `import minicnn` is quick and loads neither Numba nor the command line.
"""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from . import _source_tree

if TYPE_CHECKING:
    from . import nets
    from .data import load
    from .gradcheck import check
    from .kernels import use
    from .lab.bench import bench
    from .layers import (
        GELU,
        AvgPool2D,
        BatchNorm,
        Conv2D,
        Dense,
        Dropout,
        Flatten,
        GlobalAvgPool2D,
        Layer,
        LeakyReLU,
        MaxPool2D,
        ReLU,
        Residual,
        Sigmoid,
        Softmax,
        Tanh,
    )
    from .losses import MeanSquaredError, SoftmaxCrossEntropy
    from .model_file import open_model as open
    from .optim import SGD, Adam, AdamW
    from .schedules import Constant, Cosine, Step
    from .sequential import Sequential
    from .torch_state import from_torch_state, to_torch_state
    from .trainer import Trainer
    from .training import fit

    __version__: str

__all__ = [
    "GELU", "SGD", "Adam", "AdamW", "AvgPool2D", "BatchNorm", "Constant", "Conv2D", "Cosine", "Dense", "Dropout",
    "Flatten", "GlobalAvgPool2D", "Layer", "LeakyReLU", "MaxPool2D", "MeanSquaredError", "ReLU", "Residual",
    "Sequential", "Sigmoid", "Softmax", "SoftmaxCrossEntropy", "Step", "Tanh", "Trainer", "__version__", "bench", "check", "fit",
    "from_torch_state", "load", "nets", "open", "to_torch_state", "use",
]

_HOME = {                       # module -> its public names
    "data": ("load",), "gradcheck": ("check",), "kernels": ("use",), "lab.bench": ("bench",),
    "layers": ("AvgPool2D", "BatchNorm", "Conv2D", "Dense", "Dropout", "Flatten", "GELU", "GlobalAvgPool2D", "Layer",
               "LeakyReLU", "MaxPool2D", "ReLU", "Residual", "Sigmoid", "Softmax", "Tanh"),
    "losses": ("MeanSquaredError", "SoftmaxCrossEntropy"), "optim": ("SGD", "Adam", "AdamW"),
    "schedules": ("Constant", "Cosine", "Step"), "sequential": ("Sequential",),
    "torch_state": ("from_torch_state", "to_torch_state"), "trainer": ("Trainer",), "training": ("fit",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str):
    if name in _MODULE_OF:
        value = getattr(importlib.import_module("." + _MODULE_OF[name], __name__), name)
    elif name == "open":
        value = importlib.import_module(".model_file", __name__).open_model
    elif name == "nets":
        value = importlib.import_module(".nets", __name__)
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module 'minicnn' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version
    try:
        return version("minicnn-numba")
    except PackageNotFoundError:                # read from a folder that was never installed
        return "0+unknown"
