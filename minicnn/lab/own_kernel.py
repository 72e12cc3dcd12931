"""`train --kernel OP=FILE.py:NAME`: load a user's kernel, and hold it against the reference for every call of one net.

What has to be right is read off the net: one pass over a twin, a few images long, notes with which extents and integers
each layer calls the kernel. A kernel that is wrong in one of them never trains.
"""
from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import kernels
from ..errors import MinicnnError, UsageError
from . import correct, user_kernel
from .layer_walk import Walk
from .twin import twin

IMAGES = 3          # of the pass that notes the calls


class WrongKernel(MinicnnError):
    """A kernel whose result is not the reference's."""

    exit_code = 1


@dataclass(frozen=True)
class OwnKernel:
    """A function of the user's file that stands in for the kernel `op`. sha256: of the file."""

    op: str
    file: str
    name: str
    function: Callable
    sha256: str

    def __str__(self) -> str:
        return f"{self.op}={self.file}:{self.name}"

    def record(self) -> dict:
        """What run.json keeps: it names what ran, and nothing ever runs because of it."""
        return {"file": self.file, "function": self.name, "sha256": self.sha256}


def load(words) -> list[OwnKernel]:
    """The kernels of the options OP=FILE.py:NAME. Raises UsageError, DataError."""
    found: dict[str, OwnKernel] = {}
    for word in words:
        op, _, place = word.partition("=")
        path, _, name = place.rpartition(".py:")
        if not (op and path and name):
            raise UsageError(f"--kernel {word} must be OP=FILE.py:NAME, like conv2d_forward=mine.py:conv")
        if op not in kernels.SPECS:
            near = difflib.get_close_matches(op, kernels.KERNELS, 1)
            guess = f"Did you mean '{near[0]}'?" if near else f"Known: {' '.join(kernels.KERNELS)}."
            raise UsageError(f"No kernel '{op}'. {guess}")
        if op in found:
            raise UsageError(f"--kernel {op} is given twice")
        path = f"{path}.py"
        _, function = user_kernel.take(path, name)
        user_kernel.kernel_of(path, name, function, op, None)       # refuses other parameters
        found[op] = OwnKernel(op, path, name, function, hashlib.sha256(Path(path).read_bytes()).hexdigest())
    return list(found.values())


def check(own: list[OwnKernel], net, x: np.ndarray, labels: np.ndarray, loss, optimizer) -> list[str]:
    """Judge each kernel in all calls of a training step of `net`; one line of praise for each.

    x, labels: a batch, of which a few images are used. Raises WrongKernel, DataError (the file raises), UsageError (a
    kernel that this net never calls).
    """
    calls, lines = _calls(own, net, x[:IMAGES], labels[:IMAGES], loss, optimizer), []
    for one in own:
        if not calls[one.op]:
            seen = _calls(None, net, x[:IMAGES], labels[:IMAGES], loss, optimizer)
            used = ", ".join(op for op, of_op in seen.items() if of_op)
            raise UsageError(f"--kernel {one}: this net never calls {one.op} in training; it calls {used}")
        worst, remarks = 0.0, []
        for shape, layer in calls[one.op]:
            with blame([one]):
                verdict = correct.judge(one.op, one.function, shape)
            if not verdict.ok:
                raise WrongKernel(f"{one} is wrong for {layer}: {verdict.why}", "Nothing was trained.")
            worst = max(worst, verdict.max_error)
            remarks += [verdict.why] if verdict.why and verdict.why not in remarks else []
        count = len(calls[one.op])
        lines.append("; ".join([f"kernel {one}: right in {count} call{'s' * (count > 1)} of this net", *remarks,
                                f"largest error {worst:.1e} of its terms"]))
    return lines


@contextmanager
def blame(own: list[OwnKernel]):
    """Within the block, an exception out of a kernel's file becomes a DataError with its line and the reason."""
    with ExitStack() as stack:
        for one in own:
            stack.enter_context(user_kernel.blame(one.file, one.function))
        yield


def use(own: list[OwnKernel]):
    """Within the block, the kernels of the user are in force."""
    return kernels.use(**{one.op: one.function for one in own})


def _calls(own, net, x, labels, loss, optimizer) -> dict[str, list]:
    """{op: [(shape, name of the layer that calls first)]} of one training step; all ops for own=None."""
    seen: dict[str, dict] = {op: {} for op in (kernels.KERNELS if own is None else [one.op for one in own])}
    walk = Walk(twin(net, 1), x, labels, loss, optimizer)

    def noting(op: str):
        spec, real = kernels.SPECS[op], kernels.get(op, net.dtype)

        def call(*args):
            shape = {}
            for array, value in zip(spec.arrays, args, strict=False):
                shape |= {"*": value.shape} if array.axes == "*" else dict(zip(array.axes, value.shape, strict=True))
            shape |= zip(spec.integers, args[len(spec.arrays):], strict=False)
            if "*" in shape and not op.endswith("_update"):
                shape["N"] = shape["*"][0]
            seen[op].setdefault(tuple(sorted(shape.items())), (shape, walk.at))
            real(*args)

        return call

    with kernels.use(**{op: noting(op) for op in seen}):
        walk.run()
    return {op: list(of_op.values()) for op, of_op in seen.items()}
