"""How far a kernel may be from the exact result: the tolerances of kernels/HOWTO.md, for one call on random data.

    abs(y - exact) <= c eps terms,   eps = 2^-23

terms is the sum of the absolute values of what is added up to make y. For a kernel that is linear in each of its arrays that
is the reference itself, applied to absolute values. Looser than the cpu column's promise are the backward passes of sigmoid
and tanh, where 1 - y may cancel, as it does for peers, and the weights of Adam, which reach 7.4 eps where a weight is near 0
(once in two million).
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..kernels import SPECS
from .operations import stem

EPS = 2.0 ** -23
LINEAR = {"conv2d", "conv2d_relu", "dense", "maxpool2d", "avgpool2d", "global_avgpool2d"}
ONE_SIGN = {"avgpool2d_forward", "global_avgpool2d_forward"}       # sums whose errors need not cancel
OF_VALUE = {            # c where terms = abs(exact)
    "maxpool2d_forward": 0, "global_avgpool2d_backward": 1, "relu_forward": 0, "relu_backward": 0, "leaky_relu_forward": 2,
    "leaky_relu_backward": 2, "sigmoid_forward": 4, "tanh_forward": 4,
    "mean_squared_error_forward": 16, "mean_squared_error_backward": 4, "dropout_forward": 2, "dropout_backward": 2,
    "accumulate": 1,
}
ROUNDED = {             # kernels that round more than once even on whole numbers
    "sigmoid_forward", "tanh_forward", "gelu_forward", "gelu_backward", "softmax_forward", "softmax_cross_entropy_forward",
    "softmax_cross_entropy_backward", "batchnorm_forward", "batchnorm_backward_sums", "batchnorm_backward_input",
    "batchnorm_statistics", "batchnorm_relu_forward", "batchnorm_relu_backward_sums", "batchnorm_relu_backward_input",
    "adam_update", "adamw_update",
}


def is_exact(kernel: str, shape: dict) -> bool:
    """Whether a kernel must be right to the last bit on whole numbers: every division is by a power of two."""
    window = ("size_h", "size_w")
    divisor = {"avgpool2d_forward": window, "avgpool2d_backward": window, "global_avgpool2d_forward": "HW",
               "global_avgpool2d_backward": "HW", "mean_squared_error_forward": "K", "mean_squared_error_backward": "K"}
    parts = 1
    for name in divisor.get(kernel, ""):
        parts *= shape[name]
    return kernel not in ROUNDED and parts & (parts - 1) == 0


def bounds(kernel: str, args: list, exact: dict, reference: Callable) -> dict:
    """{output: (c, terms)} of one call. args: float64; exact: the right outputs; reference(args): outputs by name."""
    if kernel in OF_VALUE:
        return {name: (OF_VALUE[kernel], np.abs(value)) for name, value in exact.items()}
    if stem(kernel) in LINEAR:
        absolute = reference([np.abs(v) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for v in args])
        return {name: (16 if kernel in ONE_SIGN else 4, value) for name, value in absolute.items()}
    a = dict(zip(SPECS[kernel].parameters, args, strict=True))
    return _OTHERS[stem(kernel)](kernel, a, exact)


def _gelu(kernel, a, exact):
    x = a["x"]
    if kernel == "gelu_forward":
        return {"y": (4, np.abs(x))}
    return {"dx": (4, np.abs(a["dy"]) * (1 + np.abs(x) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)))}


def _saturating(kernel, a, exact):
    y = np.abs(a["y"])
    return {"dx": (4, np.abs(a["dy"]) * (y + y * y if kernel == "sigmoid_backward" else 1 + y * y))}


def _softmax(kernel, a, exact):
    if kernel == "softmax_forward":
        return {"y": (8 + _below_largest(a["x"]) / 2, np.abs(exact["y"]))}
    parts = np.abs(a["dy"] * a["y"])
    return {"dx": (16, parts + np.abs(a["y"]) * parts.sum(1, keepdims=True))}


def _below_largest(x):
    return x.max(1, keepdims=True) - x


def _cross_entropy(kernel, a, exact):
    depth, smoothing = _below_largest(a["x"]), a["label_smoothing"]
    K, rows, own = depth.shape[1], np.arange(len(depth)), a["weights"][a["labels"]]
    q = np.repeat(smoothing / K * a["weights"][None], len(depth), axis=0)
    q[rows, a["labels"]] += (1 - smoothing) * own
    total = np.exp(-depth).sum(1, keepdims=True)
    if kernel.endswith("_forward"):
        return {"loss": (8, (q * (depth + np.log(total) + 1)).sum(1))}
    return {"dx": (8 + depth / 2, a["scale"] * (np.exp(-depth) / total * q.sum(1, keepdims=True) + q))}


def _statistics(a, exact):
    size = np.abs(a["x"]).mean((0, 1, 2))
    return {"mean": (16, size), "rest": (1, size), "squares": (16, np.abs(exact["squares"]))}


def _batchnorm(kernel, a, exact):
    if kernel == "batchnorm_statistics":
        return _statistics(a, exact)
    root = np.sqrt(a["var"] + a["eps"])
    normed = np.abs(a["x"] - a["mean"]) / root
    if kernel.endswith("_forward"):
        return {"y": (8, np.abs(a["gamma"]) * normed + np.abs(a["beta"]))}
    dy, c = np.abs(a["dy"]), 16 if kernel.endswith("_sums") else 8
    if "relu" in kernel:            # where y is so near 0 that rounding puts it on either side, dy may come through or not
        terms = np.abs(a["gamma"]) * normed + np.abs(a["beta"])
        near = np.abs(a["gamma"] * (a["x"] - a["mean"]) / root + a["beta"]) <= 8 * EPS * terms
        dy = dy * (1 + near / (c * EPS))
    if kernel.endswith("_sums"):
        return {"dgamma": (16, (dy * normed).sum((0, 1, 2))), "dbeta": (16, dy.sum((0, 1, 2)))}
    means = (np.abs(a["dbeta"]) + normed * np.abs(a["dgamma"])) / a["count"]
    return {"dx": (8, np.abs(a["gamma"]) / root * (dy + means))}


def _momentum(kernel, a, exact):
    g = np.abs(a["dw"]) + a["weight_decay"] * np.abs(a["w"])
    velocity = a["momentum"] * np.abs(a["velocity"]) + g
    step = velocity if kernel == "sgd_update" else g + a["momentum"] * velocity
    return {"velocity": (4, velocity), "w": (4, np.abs(a["w"]) + a["lr"] * step)}


def _adam(kernel, a, exact):
    decay = a["weight_decay"] * np.abs(a["w"])
    g = np.abs(a["dw"]) + (decay if kernel == "adam_update" else 0)
    m, v = (a[beta] * np.abs(a[name]) + (1 - a[beta]) * power
            for beta, name, power in (("beta1", "m", g), ("beta2", "v", g * g)))
    root = np.sqrt(exact["v"] / (1 - a["beta2"] ** a["step"])) + a["eps"]
    step = a["lr"] * m / (1 - a["beta1"] ** a["step"]) / root * (v / exact["v"])
    return {"m": (4, m), "v": (4, v), "w": (16, np.abs(a["w"]) + a["lr"] * (step + (decay if kernel == "adamw_update" else 0)))}


_OTHERS = {"gelu": _gelu, "sigmoid": _saturating, "tanh": _saturating, "softmax": _softmax,
           "softmax_cross_entropy": _cross_entropy,
           "batchnorm": _batchnorm, "batchnorm_relu": _batchnorm,
           "sgd": _momentum, "nesterov": _momentum, "adam": _adam, "adamw": _adam}
