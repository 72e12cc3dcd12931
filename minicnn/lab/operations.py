"""OP on the command line: which kernels a word and a list of directions mean.

A word is a kernel of the table (`conv2d_forward`), or what its kernels have in common (`conv2d`, in short `conv`). The
directions are benchdnn's: fwd, bwd_d (by the data) and bwd_w (by the weights).
"""
from __future__ import annotations

import difflib

from .. import kernels
from ..errors import UsageError

# No problem string says how large the windows over a convolution are.
KERNELS = tuple(kernel for kernel in kernels.KERNELS if not kernel.startswith("convpool2d_"))
DIRECTIONS = {              # direction -> how its kernels' names end
    "fwd": ("_forward", "_statistics", "_update"), "bwd_d": ("_backward", "_backward_input"),
    "bwd_w": ("_backward_weight", "_backward_sums"),
}
SHORT = {"conv": "conv2d", "maxpool": "maxpool2d", "avgpool": "avgpool2d", "global_avgpool": "global_avgpool2d",
         "cross_entropy": "softmax_cross_entropy", "mse": "mean_squared_error"}
_ENDINGS = sorted((ending for endings in DIRECTIONS.values() for ending in endings), key=len, reverse=True)


def stem(kernel: str) -> str:
    """The operation that a kernel belongs to: conv2d for conv2d_backward_input."""
    return next((kernel.removesuffix(ending) for ending in _ENDINGS if kernel.endswith(ending)), kernel)


STEMS = tuple(dict.fromkeys(map(stem, KERNELS)))
WORDS = (*SHORT, *(one for one in STEMS if one not in SHORT.values()))        # each operation once, in its shortest form


def is_known(word: str) -> bool:
    """Whether a word is an operation or a kernel."""
    return word in KERNELS or SHORT.get(word, word) in STEMS


def directions(text: str | None) -> list[str] | None:
    """`fwd,bwd_d` as a list; None for None. Raises UsageError."""
    if text is None:
        return None
    chosen = text.split(",")
    for one in chosen:
        if one not in DIRECTIONS:
            raise UsageError(f"--dir {text}: no direction '{one}'; known: {','.join(DIRECTIONS)}")
    return chosen


def kernels_of(word: str, chosen: list[str] | None = None) -> list[str]:
    """The kernels that OP means, in the table's order; all directions by default. Raises UsageError."""
    if word in KERNELS:
        return [word]
    operation = SHORT.get(word, word)
    if operation not in STEMS:
        near = difflib.get_close_matches(word, [*WORDS, *KERNELS], 1)
        guess = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(f"No kernel or operation '{word}'.{guess} Operations: {' '.join(WORDS)}.")
    endings = tuple(ending for one in chosen or DIRECTIONS for ending in DIRECTIONS[one])
    found = [kernel for kernel in KERNELS if stem(kernel) == operation and kernel.removeprefix(operation) in endings]
    if not found:
        raise UsageError(f"{word} has no direction {','.join(chosen)}; its kernels: "
                         f"{' '.join(kernel for kernel in KERNELS if stem(kernel) == operation)}")
    return found


def kernel_named(name: str, parameters: tuple[str, ...] | None, table) -> str | None:
    """The kernel that a user's function is meant for: by its name, else by its parameters; None where that is not clear.

    A name counts if it is a kernel's, or begins with one (`conv2d_forward_v2`).
    """
    by_name = [kernel for kernel in KERNELS if name == kernel or name.startswith(kernel + "_")]
    if by_name:
        return max(by_name, key=len)
    by_parameters = [kernel for kernel in KERNELS if parameters == table[kernel].parameters and "_relu_" not in kernel]
    return by_parameters[0] if len(by_parameters) == 1 else None
