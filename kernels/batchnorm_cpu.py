"""Batch normalization in passes over a shard (Ioffe & Szegedy 2015): sums, then the norm with the whole batch's statistics.

    mean = sum x / M,  var = sum (x - mean)^2 / M         over the M = N H W values of each channel of the whole batch
    xhat = (x - mean) / sqrt(var + eps),  y = gamma xhat + beta
    dgamma = sum dy xhat,  dbeta = sum dy,  dx = gamma / sqrt(var + eps) (dy - (dbeta + xhat dgamma) / M)
The kernels add over what they are given; the engine gives them shards and adds their sums in shard order.
Sums run over blocks of BLOCK rows, which stay in the first-level cache while 16 channels after the other are added up.
"""
import numpy as np

from .jit import cpu_kernel, helper
from .simd import LANES, fma, load_tail, splat, store_tail

BLOCK = 256


@helper
def _add_blocks(f, total, rows, C, x, mean):
    """total[c] = sum over rows of f(x[row, c], mean[c])."""
    total[:] = 0
    for first in range(0, rows, BLOCK):
        for c in range(0, C, LANES):
            lanes, block = min(LANES, C - c), splat(0.0)
            center = load_tail(mean, c, lanes)
            for row in range(first, min(rows, first + BLOCK)):
                block = f(load_tail(x, row * C + c, lanes), center, block)
            store_tail(total, c, load_tail(total, c, lanes) + block, lanes)


@helper
def _add(x, center, block):
    return block + x


@helper
def _add_square(x, center, block):
    return fma(x - center, x - center, block)


@cpu_kernel
def batchnorm_sum(x, total):
    """total[c] = sum of x[..., c]."""
    C = x.shape[3]
    _add_blocks(_add, total, x.size // C, C, x, total)


@cpu_kernel
def batchnorm_squares(x, mean, total):
    """total[c] = sum of (x[..., c] - mean[c])^2."""
    C = x.shape[3]
    _add_blocks(_add_square, total, x.size // C, C, x, mean)


@helper
def _inverse_deviation(var, eps):
    inverse = np.empty(var.size, np.float32)
    for c in range(var.size):
        inverse[c] = np.float32(1.0 / np.sqrt(np.float64(var[c]) + eps))
    return inverse


@cpu_kernel
def batchnorm_forward(x, mean, var, gamma, beta, y, eps):
    """y = gamma (x - mean) / sqrt(var + eps) + beta."""
    C = x.shape[3]
    scale = gamma * _inverse_deviation(var, eps)
    for row in range(x.size // C):
        for c in range(0, C, LANES):
            lanes, i = min(LANES, C - c), row * C + c
            centered = load_tail(x, i, lanes) - load_tail(mean, c, lanes)
            store_tail(y, i, fma(centered, load_tail(scale, c, lanes), load_tail(beta, c, lanes)), lanes)


@cpu_kernel
def batchnorm_backward_sums(dy, x, mean, var, dgamma, dbeta, eps):
    """dgamma[c] = sum of dy xhat, dbeta[c] = sum of dy."""
    C = x.shape[3]
    rows, inverse = x.size // C, _inverse_deviation(var, eps)
    dgamma[:] = 0
    dbeta[:] = 0
    for first in range(0, rows, BLOCK):
        for c in range(0, C, LANES):
            lanes, products, sums = min(LANES, C - c), splat(0.0), splat(0.0)
            center = load_tail(mean, c, lanes)
            for row in range(first, min(rows, first + BLOCK)):
                gradient = load_tail(dy, row * C + c, lanes)
                products = fma(gradient, load_tail(x, row * C + c, lanes) - center, products)
                sums = sums + gradient
            store_tail(dgamma, c, fma(products, load_tail(inverse, c, lanes), load_tail(dgamma, c, lanes)), lanes)
            store_tail(dbeta, c, load_tail(dbeta, c, lanes) + sums, lanes)


@cpu_kernel
def batchnorm_backward_input(dy, x, mean, var, gamma, dgamma, dbeta, dx, count, eps):
    """dx = gamma / sqrt(var + eps) (dy - (dbeta + xhat dgamma) / count)."""
    C = x.shape[3]
    inverse = _inverse_deviation(var, eps)
    scale, slope, offset = gamma * inverse, inverse * dgamma / np.float32(count), dbeta / np.float32(count)
    for row in range(x.size // C):
        for c in range(0, C, LANES):
            lanes, i = min(LANES, C - c), row * C + c
            centered = load_tail(x, i, lanes) - load_tail(mean, c, lanes)
            pulled = fma(centered, load_tail(slope, c, lanes), load_tail(offset, c, lanes))
            store_tail(dx, i, (load_tail(dy, i, lanes) - pulled) * load_tail(scale, c, lanes), lanes)
