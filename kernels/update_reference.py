"""Sums of gradients, and one step of an optimizer: the gradient dw moves the weights w and the optimizer's memory, all in place.

    accumulate  total = total + x: gradients of the parts of a batch

    sgd       g = dw + weight_decay w              velocity = momentum velocity + g   w = w - lr velocity
    nesterov  g = dw + weight_decay w              velocity = momentum velocity + g   w = w - lr (g + momentum velocity)
    adam      g = dw + weight_decay w              then the Adam step
    adamw     w = w - lr weight_decay w,  g = dw   then the Adam step

    Adam step, step = 1, 2, ...:    m = beta1 m + (1 - beta1) g         v = beta2 v + (1 - beta2) g^2
                                    mhat = m / (1 - beta1^step)         vhat = v / (1 - beta2^step)
                                    w = w - lr mhat / (sqrt(vhat) + eps)

dw, w, velocity, m, v of one shape; the memory starts at zero. PyTorch's formulas (dampening 0). Sources: Sutskever et
al. 2013 (momentum; the learning rate stands outside the velocity here), Kingma & Ba 2015 (Adam), Loshchilov & Hutter
2019 (AdamW).
"""
import numpy as np

from .table import reference_kernel


@reference_kernel
def accumulate(x, total):
    """x -> total."""
    total += x


@reference_kernel
def sgd_update(dw, w, velocity, lr, momentum, weight_decay):
    """dw -> w, velocity."""
    velocity[...] = momentum * velocity + (dw + weight_decay * w)
    w -= lr * velocity


@reference_kernel
def nesterov_update(dw, w, velocity, lr, momentum, weight_decay):
    """dw -> w, velocity."""
    g = dw + weight_decay * w
    velocity[...] = momentum * velocity + g
    w -= lr * (g + momentum * velocity)


@reference_kernel
def adam_update(dw, w, m, v, step, lr, beta1, beta2, eps, weight_decay):
    """dw -> w, m, v."""
    _adam_step(dw + weight_decay * w, w, m, v, step, lr, beta1, beta2, eps)


@reference_kernel
def adamw_update(dw, w, m, v, step, lr, beta1, beta2, eps, weight_decay):
    """dw -> w, m, v."""
    w -= lr * weight_decay * w
    _adam_step(dw, w, m, v, step, lr, beta1, beta2, eps)


def _adam_step(g, w, m, v, step, lr, beta1, beta2, eps):
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * g * g
    mean, square = m / (1 - beta1**step), v / (1 - beta2**step)             # the bias of the start at zero, removed
    w -= lr * mean / (np.sqrt(square) + eps)
