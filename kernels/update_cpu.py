"""Sums of gradients, and one optimizer step on one array of weights, in place; PyTorch's formulas.

    total += x

    g = dw + weight_decay w                                                   (AdamW: g = dw, and w shrinks by lr weight_decay w)
    sgd        v = momentum v + g,   w -= lr v
    nesterov   v = momentum v + g,   w -= lr (g + momentum v)
    adam       m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2,   step counts from 1
               w -= lr / (1 - beta1^step) m / (sqrt(v) / sqrt(1 - beta2^step) + eps)
Kingma & Ba 2015; Loshchilov & Hutter 2019.
"""
import numpy as np

from .jit import cpu_kernel, helper, inlined
from .simd import LANES, fma, load_tail, sqrt, store_tail


@inlined
def _each(step, size, arrays, numbers):
    """step(arrays, numbers, i, lanes) for all elements, 16 from i on at a time; only the last vector has fewer lanes."""
    whole = size - size % LANES
    for i in range(0, whole, LANES):
        step(arrays, numbers, i, LANES)
    step(arrays, numbers, whole, size - whole)


@inlined
def _add(arrays, numbers, i, lanes):
    x, total = arrays
    store_tail(total, i, load_tail(total, i, lanes) + load_tail(x, i, lanes), lanes)


@cpu_kernel
def accumulate(x, total):
    """total += x."""
    _each(_add, x.size, (x, total), 0)


@inlined
def _sgd(arrays, numbers, i, lanes):
    (dw, w, velocity), (rate, keep, decay) = arrays, numbers
    weights = load_tail(w, i, lanes)
    v = fma(load_tail(velocity, i, lanes), keep, fma(weights, decay, load_tail(dw, i, lanes)))
    store_tail(velocity, i, v, lanes)
    store_tail(w, i, weights - v * rate, lanes)


@cpu_kernel
def sgd_update(dw, w, velocity, lr, momentum, weight_decay):
    """Stochastic gradient descent with momentum (heavy ball)."""
    _each(_sgd, w.size, (dw, w, velocity), (np.float32(lr), np.float32(momentum), np.float32(weight_decay)))


@inlined
def _nesterov(arrays, numbers, i, lanes):
    (dw, w, velocity), (rate, keep, decay) = arrays, numbers
    weights = load_tail(w, i, lanes)
    g = fma(weights, decay, load_tail(dw, i, lanes))
    v = fma(load_tail(velocity, i, lanes), keep, g)
    store_tail(velocity, i, v, lanes)
    store_tail(w, i, weights - fma(v, keep, g) * rate, lanes)


@cpu_kernel
def nesterov_update(dw, w, velocity, lr, momentum, weight_decay):
    """SGD with Nesterov momentum: the step looks ahead along the velocity."""
    _each(_nesterov, w.size, (dw, w, velocity), (np.float32(lr), np.float32(momentum), np.float32(weight_decay)))


@inlined
def _moments(arrays, numbers, i, lanes):
    (dw, w, m, v), (b1, b2, keep1, keep2, rate, root, small, coupled, shrink) = arrays, numbers
    weights = load_tail(w, i, lanes)
    g = fma(weights, coupled, load_tail(dw, i, lanes))
    first = fma(load_tail(m, i, lanes), keep1, g * b1)
    second = fma(load_tail(v, i, lanes), keep2, g * g * b2)
    store_tail(m, i, first, lanes)
    store_tail(v, i, second, lanes)
    store_tail(w, i, weights * shrink - first * rate / fma(sqrt(second), root, small), lanes)


@helper
def _adam(dw, w, m, v, step, lr, beta1, beta2, eps, in_gradient, in_weights):
    """Both Adams: decay goes into the gradient (Adam), or shrinks the weights directly (AdamW)."""
    b1, b2, keep1, keep2 = np.float32(1 - beta1), np.float32(1 - beta2), np.float32(beta1), np.float32(beta2)
    rate, root = np.float32(lr / (1 - beta1 ** step)), np.float32(1 / np.sqrt(1 - beta2 ** step))
    small, coupled, shrink = np.float32(eps), np.float32(in_gradient), np.float32(1 - in_weights)
    _each(_moments, w.size, (dw, w, m, v), (b1, b2, keep1, keep2, rate, root, small, coupled, shrink))


@cpu_kernel
def adam_update(dw, w, m, v, step, lr, beta1, beta2, eps, weight_decay):
    """Adam; weight decay is added to the gradient."""
    _adam(dw, w, m, v, step, lr, beta1, beta2, eps, weight_decay, 0.0)


@cpu_kernel
def adamw_update(dw, w, m, v, step, lr, beta1, beta2, eps, weight_decay):
    """Adam with decoupled weight decay: w shrinks by lr * weight_decay * w."""
    _adam(dw, w, m, v, step, lr, beta1, beta2, eps, 0.0, lr * weight_decay)
