"""PyTorch under the names of our kernels: for judging as functions of the column's signature, for timing as bare calls.

Its tensors have the axes (N, C, H, W), in one of two orders of memory: "nchw", or "nhwc" (channels_last), which is the order
of our arrays. Both are timed and the faster one counts. Arguments are brought into PyTorch's axes before the clock runs.
"""
from __future__ import annotations

from collections.abc import Callable

from ..kernels import SPECS
from . import torch_operations
from .problems import Problem

LAYOUTS = ("nhwc", "nchw")


def version() -> str | None:
    """PyTorch's version, None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    return torch.__version__.split("+")[0]


def absent(problem: Problem) -> str | None:
    """Why PyTorch has no row for a problem; None where it has one."""
    if version() is None:
        return "torch is not installed"
    if problem.kernel not in torch_operations.BUILDERS:
        return "torch has no operation that does just this"
    s = problem.shape
    for axis, out, (size,), step, pad, pool in SPECS[problem.kernel].windows:
        if s[out] != (s[axis] + 2 * s[pad] - s[size]) // s[step] + 1:
            return "torch pads alike on both sides"
        if pool and 2 * s[pad] > s[size]:
            return "torch pads by half of the window at most"
    return None


def set_threads(threads: int) -> None:
    """For all that follows."""
    import torch

    torch.set_num_threads(threads)


def function(kernel: str) -> Callable:
    """The operation with the column's signature: converts, computes, writes the outputs."""
    spec = SPECS[kernel]

    def of_torch(*args):
        run, outputs = operation(kernel, args, "nhwc")
        targets = [(array, value) for array, value in zip(spec.arrays, args, strict=False) if array.output]
        for (array, target), tensor in zip(targets, outputs(run()), strict=True):
            value = tensor.numpy()
            if value.ndim == 4:
                value = value.transpose((2, 3, 1, 0) if array.axes == "RSCK" else (0, 2, 3, 1))
            target[...] = value.reshape(target.shape)

    return of_torch


def operation(kernel: str, args, layout: str) -> tuple[Callable, Callable]:
    """(a call without arguments, what makes a tuple of output tensors of its result)."""
    import torch

    spec = SPECS[kernel]
    order = {"memory_format": torch.channels_last if layout == "nhwc" else torch.contiguous_format}
    a = dict(zip(spec.parameters, args, strict=True))
    for array in spec.arrays:
        tensor = torch.from_numpy(a[array.name])
        if tensor.ndim == 4:
            tensor = tensor.permute((3, 2, 0, 1) if array.axes == "RSCK" else (0, 3, 1, 2)).contiguous(**order)
        a[array.name] = tensor
    made = torch_operations.BUILDERS[kernel](torch, a)
    return made if isinstance(made, tuple) else (made, lambda result: (result,))
