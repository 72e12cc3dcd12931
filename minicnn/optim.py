"""Optimizers: how a parameter w moves, given the gradient g of the loss.

    SGD       g += weight_decay * w;  v = momentum * v + g
              w -= lr * v                                     (Nesterov: w -= lr * (g + momentum * v))
    Adam      g += weight_decay * w;  m = beta1 m + (1-beta1) g;  v = beta2 v + (1-beta2) g^2
              w -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    AdamW     as Adam, but w -= lr * weight_decay * w in place of the first assignment

t is the step, from 1. These are PyTorch's formulas. An optimizer holds settings only: what it remembers of a parameter
(v, m) are arrays called slots, which the trainer keeps and saves.
Sources: Sutskever et al. 2013, section 2; Kingma and Ba 2015, "Adam", algorithm 1; Loshchilov and Hutter 2019, "AdamW",
algorithm 2.
"""
from __future__ import annotations

import numpy as np

from . import kernels
from .arguments import flag, real


class SGD:
    """Stochastic gradient descent. `lr` is the rate that a schedule multiplies."""

    def __init__(self, lr: float, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0):
        self.lr, self.momentum = real(lr, "lr"), real(momentum, "momentum", below=1)
        self.nesterov, self.weight_decay = flag(nesterov, "nesterov"), real(weight_decay, "weight_decay")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")

    def slots(self, param: np.ndarray) -> dict[str, np.ndarray]:
        """What is remembered of one parameter, before the first step."""
        return {"velocity": np.zeros_like(param)}

    def update(self, param: np.ndarray, grad: np.ndarray, slots: dict[str, np.ndarray], step: int, lr: float) -> None:
        """Move `param` and its slots in place; step counts from 1."""
        kernel = kernels.get("nesterov_update" if self.nesterov else "sgd_update", param.dtype)
        kernel(grad, param, slots["velocity"], lr, self.momentum, self.weight_decay)

    def config(self) -> dict:
        """Name and arguments, as plain data."""
        return {"optimizer": "SGD", "lr": self.lr, "momentum": self.momentum, "nesterov": self.nesterov,
                "weight_decay": self.weight_decay}


class Adam:
    """Adam; weight decay is added to the gradient (L2)."""

    kernel = "adam_update"

    def __init__(self, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
                 weight_decay: float = 0.0):
        self.lr, self.eps, self.weight_decay = real(lr, "lr"), real(eps, "eps"), real(weight_decay, "weight_decay")
        self.beta1, self.beta2 = real(beta1, "beta1", below=1), real(beta2, "beta2", below=1)

    def slots(self, param: np.ndarray) -> dict[str, np.ndarray]:
        """What is remembered of one parameter, before the first step."""
        return {"m": np.zeros_like(param), "v": np.zeros_like(param)}

    def update(self, param: np.ndarray, grad: np.ndarray, slots: dict[str, np.ndarray], step: int, lr: float) -> None:
        """Move `param` and its slots in place; step counts from 1."""
        kernels.get(self.kernel, param.dtype)(
            grad, param, slots["m"], slots["v"], step, lr, self.beta1, self.beta2, self.eps, self.weight_decay)

    def config(self) -> dict:
        """Name and arguments, as plain data."""
        return {"optimizer": type(self).__name__, "lr": self.lr, "beta1": self.beta1, "beta2": self.beta2,
                "eps": self.eps, "weight_decay": self.weight_decay}


class AdamW(Adam):
    """Adam with weight decay apart from the gradient."""

    kernel = "adamw_update"

    def __init__(self, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
                 weight_decay: float = 0.01):
        super().__init__(lr, beta1, beta2, eps, weight_decay)
