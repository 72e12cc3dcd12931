"""How far each cpu kernel may be from the exact result: the tolerances of kernels/HOWTO.md, as numbers for one call.

`bound(name, args, exact)` gives {output: (c, terms)}: abs(y - exact) <= c eps terms. terms is the sum of the absolute
values of the terms of a sum, most easily had from the reference itself on absolute values; None stands for abs(exact).
"""
import numpy as np
from closeness import EPS
from kernel_cases import run

from minicnn import kernels

RULES = {}


def rule(*names):
    def register(function):
        RULES.update(dict.fromkeys(names, function))
        return function
    return register


def bound(name, args, exact):
    """{output: (c, terms)} of one call; exact: the reference's outputs by name."""
    values = [v.astype(np.float64) if isinstance(v, np.ndarray) and v.dtype == np.float32 else v for v in args]
    a = dict(zip(kernels.SPECS[name].parameters, values, strict=True))
    return RULES[name](name, a, exact)


def _of_absolute_values(name, a):
    return run("reference", name, [np.abs(v) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for v in a.values()])


@rule("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")
def convolutions(name, a, exact):
    kernel = kernels.function("cpu", name)
    if kernel.chosen(tuple(a.values())) is kernel.direct:
        return sums_of_any_sign(name, a, exact)
    return winograd(name, a)


WINOGRAD = 48
WINOGRAD_WEIGHT = 96


def winograd(name, a):
    """The bounds of Winograd's algorithm: a pixel is made of all that its tile of 4x4 is made of."""
    terms = _of_absolute_values(name, a)
    if name == "conv2d_backward_weight":
        return {"dw": (WINOGRAD_WEIGHT, terms["dw"].max(axis=(0, 1), keepdims=True)), "db": (4, terms["db"])}
    ((output, values),) = terms.items()
    return {output: (WINOGRAD, largest_of_tile(values))}


def largest_of_tile(values):
    """Each pixel of (N, H, W, C) replaced by the largest of its tile of 4x4."""
    H, W = values.shape[1:3]
    values = np.pad(values, ((0, 0), (0, -H % 4), (0, -W % 4), (0, 0)))
    tiles = values.reshape(len(values), values.shape[1] // 4, 4, values.shape[2] // 4, 4, -1).max(axis=(2, 4))
    return tiles.repeat(4, axis=1).repeat(4, axis=2)[:, :H, :W]


@rule("dense_forward", "dense_backward_input", "dense_backward_weight", "maxpool2d_backward", "avgpool2d_backward",
      "conv2d_relu_forward", "convpool2d_forward", "convpool2d_backward_input", "convpool2d_backward_weight")
def sums_of_any_sign(name, a, exact):
    return {output: (4, terms) for output, terms in _of_absolute_values(name, a).items()}


@rule("avgpool2d_forward", "global_avgpool2d_forward")
def sums_of_one_sign(name, a, exact):
    return {output: (16, terms) for output, terms in _of_absolute_values(name, a).items()}


VALUES = {"global_avgpool2d_backward": 1, "relu_forward": 0, "relu_backward": 0, "leaky_relu_forward": 2,
          "leaky_relu_backward": 2, "sigmoid_forward": 4, "sigmoid_backward": 4, "tanh_forward": 4, "tanh_backward": 4,
          "mean_squared_error_forward": 16, "mean_squared_error_backward": 4, "dropout_forward": 2, "dropout_backward": 2,
          "maxpool2d_forward": 0, "accumulate": 1}


@rule(*VALUES)
def values(name, a, exact):
    return {output: (VALUES[name], None) for output in exact}


@rule("gelu_forward")
def gelu_forward(name, a, exact):
    return {"y": (4, np.abs(a["x"]))}


@rule("gelu_backward")
def gelu_backward(name, a, exact):
    density = np.exp(-a["x"]**2 / 2) / np.sqrt(2 * np.pi)
    return {"dx": (4, np.abs(a["dy"]) * (1 + np.abs(a["x"]) * density))}


@rule("softmax_forward")
def softmax_forward(name, a, exact):
    return {"y": (8 + _depth(a["x"]) / 2, None)}


@rule("softmax_backward")
def softmax_backward(name, a, exact):
    products = np.abs(a["dy"] * a["y"])
    return {"dx": (16, products + np.abs(a["y"]) * products.sum(axis=1, keepdims=True))}


def _depth(x):
    """How far each logit lies below the largest of its row."""
    return x.max(axis=1, keepdims=True) - x


def _target(a):
    """q (N, K) of HOWTO.md: the weighted, smoothed one-hot target."""
    q = np.tile(a["label_smoothing"] / a["x"].shape[1] * a["weights"], (len(a["x"]), 1))
    q[np.arange(len(q)), a["labels"]] += (1 - a["label_smoothing"]) * a["weights"][a["labels"]]
    return q


@rule("softmax_cross_entropy_forward")
def softmax_cross_entropy_forward(name, a, exact):
    depth = _depth(a["x"])
    log_sum = np.log(np.exp(-depth).sum(axis=1, keepdims=True))
    return {"loss": (8, (_target(a) * (depth + log_sum + 1)).sum(axis=1))}


@rule("softmax_cross_entropy_backward")
def softmax_cross_entropy_backward(name, a, exact):
    depth, q = _depth(a["x"]), _target(a)
    p = np.exp(-depth) / np.exp(-depth).sum(axis=1, keepdims=True)
    return {"dx": (8 + depth / 2, a["scale"] * (p * q.sum(axis=1, keepdims=True) + q))}


def _normed(a):
    return (a["x"] - a["mean"]) / np.sqrt(a["var"] + a["eps"])


@rule("batchnorm_statistics")
def batchnorm_statistics(name, a, exact):
    size = np.abs(a["x"]).sum(axis=(0, 1, 2)) / max(a["x"][..., 0].size, 1)
    return {"mean": (16, size), "rest": (1, size), "squares": (16, None)}


@rule("batchnorm_forward", "batchnorm_relu_forward")
def batchnorm_forward(name, a, exact):
    return {"y": (8, _terms_of_norm(a))}


def _terms_of_norm(a):
    return np.abs(a["gamma"] * _normed(a)) + np.abs(a["beta"])


def _undecided(name, a, c):
    """dy / (c eps) where y is so near 0 that rounding may put it on either side, else 0: there dy may come through or not."""
    if "relu" not in name:
        return 0
    y = a["gamma"] * _normed(a) + a["beta"]
    near = (y != 0) & (np.abs(y) <= 8 * EPS * _terms_of_norm(a))
    return np.where(near, np.abs(a["dy"]) / (c * EPS), 0)


@rule("batchnorm_backward_sums", "batchnorm_relu_backward_sums")
def batchnorm_backward_sums(name, a, exact):
    dy = np.abs(a["dy"]) + _undecided(name, a, 16)
    return {"dgamma": (16, (dy * np.abs(_normed(a))).sum(axis=(0, 1, 2))), "dbeta": (16, dy.sum(axis=(0, 1, 2)))}


@rule("batchnorm_backward_input", "batchnorm_relu_backward_input")
def batchnorm_backward_input(name, a, exact):
    pulled = (np.abs(a["dbeta"]) + np.abs(_normed(a) * a["dgamma"])) / a["count"]
    dy = np.abs(a["dy"]) + _undecided(name, a, 8)
    return {"dx": (8, np.abs(a["gamma"]) / np.sqrt(a["var"] + a["eps"]) * (dy + pulled))}


@rule("sgd_update", "nesterov_update")
def momentum_updates(name, a, exact):
    gradient = np.abs(a["dw"]) + a["weight_decay"] * np.abs(a["w"])
    velocity = a["momentum"] * np.abs(a["velocity"]) + gradient
    step = velocity if name == "sgd_update" else gradient + a["momentum"] * velocity
    return {"velocity": (4, velocity), "w": (4, np.abs(a["w"]) + a["lr"] * step)}


@rule("adam_update", "adamw_update")
def adam_updates(name, a, exact):
    decay = a["weight_decay"] * np.abs(a["w"])
    gradient = np.abs(a["dw"]) + (decay if name == "adam_update" else 0)
    m = a["beta1"] * np.abs(a["m"]) + (1 - a["beta1"]) * gradient
    v = a["beta2"] * a["v"] + (1 - a["beta2"]) * gradient**2
    root = np.sqrt(exact["v"] / (1 - a["beta2"]**a["step"])) + a["eps"]
    step = a["lr"] * m / (1 - a["beta1"]**a["step"]) / root * (v / exact["v"])      # an error of v moves the root by half
    return {"m": (4, m), "v": (4, v), "w": (4, np.abs(a["w"]) + a["lr"] * (decay if name == "adamw_update" else 0) + step)}
