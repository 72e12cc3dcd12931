"""FILE.py:NAME: take a function out of a user's file, find out which kernel it is meant to be, blame the file for its errors."""
from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from contextlib import contextmanager

from .. import user_file
from ..errors import DataError, UsageError
from ..kernels import SPECS
from .operations import kernel_named, kernels_of


def take(path: str, name: str) -> tuple[str, Callable]:
    """(name, function); the file's only function where no name is given. Raises UsageError, DataError."""
    module = user_file.load(path)
    own = [one for one, value in vars(module).items()
           if callable(value) and not inspect.isclass(value) and getattr(value, "__module__", None) == module.__name__]
    known = f"it has {', '.join(own)}" if own else "it has none"
    if not name and len(own) != 1:
        raise UsageError(f"{path}: which function? {known}", hint=f"As: {path}:{own[0]}" if own else None)
    name = name or own[0]
    if not callable(getattr(module, name, None)):
        raise DataError(f"{path} has no function {name}; {known}")
    return name, getattr(module, name)


def kernel_of(path: str, name: str, function: Callable, op: str | None, directions: list[str] | None) -> str:
    """The kernel that a function is meant for. Raises UsageError where that is open, DataError where it cannot be called so."""
    parameters = _parameters(function)
    if op is not None:
        fitting = kernels_of(op, directions)
        if len(fitting) > 1:
            fitting = [kernel for kernel in fitting if parameters == SPECS[kernel].parameters] or fitting
    else:
        found = kernel_named(name, parameters, SPECS)
        fitting = [found] if found else []
    if len(fitting) != 1:
        which = f"it could be {' '.join(fitting)}" if fitting else "it has neither the name nor the parameters of one"
        raise UsageError(f"{path}:{name}: which kernel is it? {which}", hint="Say --op conv2d_forward, or --op conv --dir fwd.")
    spec = SPECS[fitting[0]]
    if parameters is not None and len(parameters) != len(spec.parameters):
        raise DataError(f"{path}, line {_line(function)}: {name} takes {len(parameters)} arguments ({', '.join(parameters)}), "
                        f"{spec.name} has {len(spec.parameters)} ({', '.join(spec.parameters)})")
    return spec.name


@contextmanager
def blame(path: str, function: Callable):
    """Within the block, what goes wrong in the file becomes a DataError with its line, compiler errors in one sentence."""
    from numba.core.errors import NumbaError

    try:
        with user_file.blame(path):
            yield
    except NumbaError as error:
        place = getattr(error, "loc", None)
        inside = place is not None and os.path.realpath(place.filename) == os.path.realpath(path)
        line = place.line if inside else _line(function)
        raise DataError(f"{path}, line {line}: does not compile: {_sentence(str(error))}") from error


def _sentence(message: str) -> str:
    """The reason in Numba's report: its first line that is not about a pass of the compiler, with the call it speaks of."""
    lines = [line.strip() for line in message.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("Failed in ", "During: "))]
    reason = lines[0] if lines else "no reason given"
    call = next((line.removeprefix(">>> ") for line in lines if line.startswith(">>> ")), "")
    return f"{reason} {call}" if reason.endswith(":") and call else reason


def _parameters(function: Callable) -> tuple[str, ...] | None:
    """Names of the positional parameters, None where they cannot be told."""
    try:
        found = inspect.signature(getattr(function, "py_func", function)).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_POSITIONAL for one in found):
        return None
    return tuple(one.name for one in found if one.kind is not one.KEYWORD_ONLY)


def _line(function: Callable) -> int:
    code = getattr(getattr(function, "py_func", function), "__code__", None)
    return code.co_firstlineno if code else 1
