"""Which function runs under a kernel's name: the column that fits the dtype, unless `use` says otherwise."""
import contextlib
import functools
import importlib
from contextvars import ContextVar

import numpy as np

from .table import SPECS

FAMILIES = {                    # file -> how its kernels' names begin
    "conv2d": ("conv2d_",), "convpool2d": ("convpool2d_",), "dense": ("dense_",),
    "pool2d": ("maxpool2d_", "avgpool2d_", "global_avgpool2d_"),
    "activation": ("relu_", "leaky_relu_", "sigmoid_", "tanh_", "gelu_"), "softmax": ("softmax_forward", "softmax_backward"),
    "loss": ("softmax_cross_entropy_", "mean_squared_error_"), "batchnorm": ("batchnorm_",), "dropout": ("dropout_",),
    "update": ("accumulate", "sgd_", "nesterov_", "adam_", "adamw_"),
}
KERNELS = tuple(SPECS)
_FAMILY_OF = {name: family for name in KERNELS for family, starts in FAMILIES.items() if name.startswith(starts)}
COLUMNS = {column: {name: f"{family}_{column}" for name, family in _FAMILY_OF.items()}      # column -> kernel -> module
           for column in ("reference", "cpu")}

_FLOAT32 = np.dtype(np.float32)
_NONE: dict = {}
_overrides: ContextVar[dict] = ContextVar("overrides", default=_NONE)  # noqa: B039 (never changed, only replaced)


class Refused(RuntimeError):
    """A kernel's compiled check refused its arguments. Run the layers themselves: their messages have the numbers."""


@functools.cache
def function(column: str, name: str):
    """The kernel `name` of a column; its module is imported at the first call."""
    if column not in COLUMNS:
        raise ValueError(f"no column {column!r}; known: {', '.join(COLUMNS)}")
    if name not in COLUMNS[column]:
        raise ValueError(f"no kernel {name!r}; known: {', '.join(KERNELS)}")
    return getattr(importlib.import_module("." + COLUMNS[column][name], __package__), name)


def get(name: str, dtype):
    """The kernel that runs for arrays of this dtype: float32 in the cpu column, every other type in the reference."""
    overrides = _overrides.get()
    if overrides:
        if name in overrides:
            return overrides[name]
        kernel = function(overrides.get("column", "cpu" if dtype == _FLOAT32 else "reference"), name)
        kernel = getattr(kernel, "direct", kernel) if overrides.get("exact") else kernel
        return overrides["tape"].recorder(name, kernel) if "tape" in overrides else kernel
    return function("cpu" if dtype == _FLOAT32 else "reference", name)


@contextlib.contextmanager
def use(column: str | None = None, *, exact: bool | None = None, **kernels):
    """Within the block, take kernels from another column, or use the caller's own: `use(conv2d_forward=mine)`.

    `exact=True` keeps the cpu column from algorithms that round more than the plain sum does (Winograd's convolution).
    Inner blocks win over outer ones. Raises ValueError for an unknown column or kernel, TypeError for what is not callable.
    """
    for name, kernel in kernels.items():
        if name not in SPECS:
            raise ValueError(f"no kernel {name!r}; known: {', '.join(KERNELS)}")
        if not callable(kernel):
            raise TypeError(f"{name} must be a function, got {type(kernel).__name__}")
    if column is not None:
        function(column, KERNELS[0])
        kernels = {"column": column} | kernels
    outer = _overrides.get()
    if column is not None:                                      # a named column hides the kernels named outside
        outer = {"exact": outer["exact"]} if "exact" in outer else {}
    if exact is not None:
        kernels = kernels | {"exact": exact}
    token = _overrides.set(outer | kernels)
    try:
        yield
    finally:
        _overrides.reset(token)


def replaced() -> bool:
    """Whether `use` has put other kernels in place: then layers run one by one, each with the kernels it asks for."""
    return not _overrides.get().keys() <= {"exact"}


def exact() -> bool:
    """Whether `use(exact=True)` is in force."""
    return bool(_overrides.get().get("exact"))


@contextlib.contextmanager
def recording(tape):
    """Within the block, each kernel of the cpu column that is asked for is noted on the tape as it runs (tape.py)."""
    token = _overrides.set(_overrides.get() | {"tape": tape})
    try:
        yield
    finally:
        _overrides.reset(token)
