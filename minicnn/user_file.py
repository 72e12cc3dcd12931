"""A Python file that the user named on the command line: load it, take its net or its layers, blame it for its errors.

Such a file is run because it was typed; nothing that is merely read (a model, a checkpoint, run.json) ever leads here.
"""

import inspect
import traceback
from contextlib import contextmanager
from types import ModuleType

from .errors import DataError, MinicnnError, UsageError
from .layers import Layer


def load(path: str) -> ModuleType:
    """Run the file; returns its module. Raises UsageError (no such file), DataError (it does not compile, or raises)."""
    try:
        with open(path, "rb") as file:
            source = file.read()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    module = ModuleType("user_file")
    module.__file__ = str(path)
    try:
        code = compile(source, str(path), "exec")
    except (SyntaxError, ValueError) as error:
        raise DataError(f"{path}, line {getattr(error, 'lineno', None) or '?'}: {getattr(error, 'msg', error)}") from None
    with blame(path):
        exec(code, module.__dict__)
    return module


def layer_classes(module: ModuleType) -> list[type[Layer]]:
    """The Layer subclasses that the file itself defines, in its order."""
    return [one for one in vars(module).values() if _is_layer(one) and one.__module__ == module.__name__]


def layers_of_net(path: str, input_shape: tuple, classes: int) -> list[Layer]:
    """What net(input_shape, classes) of the file returns. Raises UsageError, DataError."""
    net = getattr(load(path), "net", None)
    if not callable(net):
        raise DataError(f"{path} has no function net(input_shape, classes) that returns a list of layers")
    with blame(path):
        layers = net(input_shape, classes)
    if not isinstance(layers, (list, tuple)) or not layers:
        raise DataError(f"{path}: net(input_shape, classes) must return a list of layers, it returned {layers!r:.60}")
    for one in layers:
        if not isinstance(one, Layer):
            raise DataError(f"{path}: net(input_shape, classes) must return a list of layers, it holds {one!r:.60}")
    return list(layers)


@contextmanager
def blame(path: str | None):
    """Within the block, an exception out of the file becomes a DataError with its line; None blames nobody."""
    try:
        yield
    except MinicnnError:
        raise
    except Exception as error:
        line = next((frame.lineno for frame in reversed(traceback.extract_tb(error.__traceback__)) if frame.filename == path), 0)
        if path is None or not line:
            raise
        raise DataError(f"{path}, line {line}: {type(error).__name__}: {error}") from error


def _is_layer(one) -> bool:
    return inspect.isclass(one) and issubclass(one, Layer) and one is not Layer
