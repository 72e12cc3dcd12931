"""What a call costs on paper: flops and bytes, and how near to the roof a time comes.

Flops: a multiply-add is two. A convolution counts the taps that fall on padding, as one that pads for real computes them.
Where a kernel goes element by element, the arithmetic of its formula counts, with exp, log, tanh, erf, a division or a root
as one each. Bytes: each array once, those that are read and written in place twice; what a kernel moves beyond that (scratch,
a second pass) is its own doing and lowers its share of the roof.
"""
from __future__ import annotations

import math

from ..kernels import SPECS
from .problems import Problem

PER_ELEMENT = {         # flops for each element of the largest array
    "relu_forward": 1, "relu_backward": 1, "leaky_relu_forward": 2, "leaky_relu_backward": 2, "sigmoid_forward": 4,
    "sigmoid_backward": 3, "tanh_forward": 1, "tanh_backward": 3, "gelu_forward": 5, "gelu_backward": 10,
    "softmax_forward": 5, "softmax_backward": 4, "softmax_cross_entropy_forward": 6, "softmax_cross_entropy_backward": 8,
    "mean_squared_error_forward": 3, "mean_squared_error_backward": 2, "batchnorm_statistics": 4, "accumulate": 1,
    "batchnorm_forward": 3, "batchnorm_backward_sums": 5, "batchnorm_backward_input": 6, "dropout_forward": 2,
    "batchnorm_relu_forward": 4, "batchnorm_relu_backward_sums": 8, "batchnorm_relu_backward_input": 9,
    "dropout_backward": 2, "global_avgpool2d_forward": 1, "global_avgpool2d_backward": 1, "sgd_update": 6,
    "nesterov_update": 8, "adam_update": 15, "adamw_update": 15,
}


def elements(problem: Problem) -> int:
    """Of the largest array."""
    return max(math.prod(problem.extents(array)) for array in SPECS[problem.kernel].arrays)


def flops(problem: Problem) -> int:
    """Operations of one call."""
    kernel, s = problem.kernel, problem.shape
    if kernel.startswith("conv2d_"):
        return 2 * s["N"] * s["P"] * s["Q"] * s["K"] * s["R"] * s["S"] * s["C"]
    if kernel.startswith("dense_"):
        return 2 * s["N"] * s["C"] * s["K"]
    if kernel == "maxpool2d_backward":
        return s["N"] * s["P"] * s["Q"] * s["C"]
    if "size_h" in SPECS[kernel].integers:
        return s["N"] * s["P"] * s["Q"] * s["C"] * s["size_h"] * s["size_w"]
    return PER_ELEMENT[kernel] * elements(problem)


def moved(problem: Problem) -> int:
    """Bytes of one call."""
    size = {"float": 4, "uint8": 1, "int64": 8}
    return sum(math.prod(problem.extents(array)) * size[array.dtype] * (2 if array.updated else 1)
               for array in SPECS[problem.kernel].arrays)


def of_roof(seconds: float, flops: int, moved: int, peak: float, bandwidth: float) -> float:
    """The share of what the machine could do: the time at its peak (GFLOP/s) or bandwidth (GB/s), whichever is longer,
    over the time it took.
    """
    return max(flops / peak, moved / bandwidth) / 1e9 / seconds
