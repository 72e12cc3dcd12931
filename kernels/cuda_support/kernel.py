"""What makes a function a kernel of the cuda column: the table's arguments, checked, and the launches it needs.

    @cuda_kernel
    def relu_forward(x, y):
        return [Launch(...), ...]

    relu_forward(x, y)                  checks the arguments and runs
    plan = relu_forward.plan(x, y)      checks them now, to run later and often: `for launch in plan: launch()`

Checked are number, type and shape of the arrays, that they start at a multiple of 16 bytes, lie contiguous and apart from
each other, and the ranges of the numbers; never what is in the arrays. Planning needs no GPU.
"""
import functools
import inspect

import numpy as np

from ..table import SPECS, validate_shapes
from ._compat import SIMULATOR

INDEX_LIMIT = 2**31 - 2**16         # kernels count in 32 bits, and round up to whole blocks
ALIGNMENT = 16


def cuda_kernel(function):
    """Puts the checks in front of a function that returns its launches, and runs them."""
    spec = SPECS[function.__name__]
    if tuple(inspect.signature(function).parameters) != spec.parameters:
        raise TypeError(f"{spec.name} must take ({', '.join(spec.parameters)})")

    def plan(*args):
        """The launches of one call, bound to its arguments."""
        args = validate_shapes(spec, args, np.dtype(np.float32))
        _check_memory(spec, args[:len(spec.arrays)])
        return tuple(function(*args))

    @functools.wraps(function)
    def kernel(*args, **named):
        args = inspect.signature(function).bind(*args, **named).args if named else args
        for array, value in zip(spec.arrays, args, strict=False):
            if not SIMULATOR and isinstance(value, np.ndarray):
                raise TypeError(f"{spec.name}: {array.name} must lie on the GPU: numba.cuda.to_device({array.name})")
        for launch in plan(*args):
            launch()

    kernel.plan = plan
    return kernel


def _check_memory(spec, arrays):
    """Raises ValueError for arrays that a kernel cannot address: strided, misaligned, too large, or written over another."""
    spans = []
    for array, value in zip(spec.arrays, arrays, strict=True):
        where = f"{spec.name}: {array.name}"
        if not (value.is_c_contiguous() if hasattr(value, "is_c_contiguous") else value.flags.c_contiguous):
            raise ValueError(f"{where} must be C-contiguous, got strides {value.strides} for shape {value.shape}")
        if value.size > INDEX_LIMIT:
            raise ValueError(f"{where} has {value.size} elements; the cuda column counts to {INDEX_LIMIT}")
        start = _address(value)
        if value.size and start % ALIGNMENT:
            raise ValueError(f"{where} must start at a multiple of {ALIGNMENT} bytes, got an address of {start % ALIGNMENT} more")
        spans.append((start, start + value.size * value.dtype.itemsize))
    for i, array in enumerate(spec.arrays):
        for j, other in enumerate(spec.arrays):
            if array.output and i != j and spans[i][0] < spans[j][1] and spans[j][0] < spans[i][1]:
                raise ValueError(f"{spec.name}: {array.name} shares memory with {other.name}")


def _address(array) -> int:
    """Where the first element lies: on the GPU, or in this process for arrays of NumPy and of the simulator."""
    interface = getattr(array, "__cuda_array_interface__", None)
    return (interface["data"][0] or 0) if interface else array.ctypes.data
