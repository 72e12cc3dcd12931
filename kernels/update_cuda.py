"""Sums of gradients, and one optimizer step on one array of weights, in place, on the GPU; PyTorch's formulas.

    total += x

    g = dw + weight_decay w                                                   (AdamW: g = dw, and w shrinks by lr weight_decay w)
    sgd        velocity = momentum velocity + g,   w -= lr velocity
    nesterov   velocity = momentum velocity + g,   w -= lr (g + momentum velocity)
    adam       m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2,   step counts from 1
               w -= lr / (1 - beta1^step) m / (sqrt(v) / sqrt(1 - beta2^step) + eps)

All arrays of a call have one shape. Kingma & Ba 2015; Loshchilov & Hutter 2019.
"""
import math

from .cuda_support.elementwise import elementwise
from .cuda_support.functions import sqrt
from .cuda_support.kernel import cuda_kernel


def _add(x, total):
    return total + x


@cuda_kernel
def accumulate(x, total):
    """total += x."""
    return elementwise("accumulate", _add, (x, total))


def _sgd(dw, w, velocity, lr, momentum, decay):
    velocity = momentum * velocity + (dw + decay * w)
    return w - lr * velocity, velocity


@cuda_kernel
def sgd_update(dw, w, velocity, lr, momentum, weight_decay):
    """Stochastic gradient descent with momentum (heavy ball)."""
    return elementwise("sgd_update", _sgd, (dw, w, velocity), (lr, momentum, weight_decay))


def _nesterov(dw, w, velocity, lr, momentum, decay):
    g = dw + decay * w
    velocity = momentum * velocity + g
    return w - lr * (g + momentum * velocity), velocity


@cuda_kernel
def nesterov_update(dw, w, velocity, lr, momentum, weight_decay):
    """Nesterov's momentum: the gradient is taken where the momentum leads."""
    return elementwise("nesterov_update", _nesterov, (dw, w, velocity), (lr, momentum, weight_decay))


def _adam(dw, w, m, v, keep1, add1, keep2, add2, rate, root, eps, decay):
    g = dw + decay * w
    m = keep1 * m + add1 * g
    v = keep2 * v + add2 * (g * g)
    return w - rate * (m / (sqrt(v) * root + eps)), m, v


def _adamw(dw, w, m, v, keep1, add1, keep2, add2, rate, root, eps, shrink):
    m = keep1 * m + add1 * dw
    v = keep2 * v + add2 * (dw * dw)
    return (w - shrink * w) - rate * (m / (sqrt(v) * root + eps)), m, v


def _constants(step, lr, beta1, beta2, eps):
    """What is the same for all weights, worked out in float64; the bias of the start at zero goes into rate and root."""
    return beta1, 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step), eps


@cuda_kernel
def adam_update(dw, w, m, v, step, lr, beta1, beta2, eps, weight_decay):
    """Adam; weight decay is part of the gradient."""
    return elementwise("adam_update", _adam, (dw, w, m, v), (*_constants(step, lr, beta1, beta2, eps), weight_decay))


@cuda_kernel
def adamw_update(dw, w, m, v, step, lr, beta1, beta2, eps, weight_decay):
    """Adam with weight decay beside the gradient."""
    return elementwise("adamw_update", _adamw, (dw, w, m, v), (*_constants(step, lr, beta1, beta2, eps), lr * weight_decay))
