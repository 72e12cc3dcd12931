"""Batch normalization in passes over a shard (Ioffe & Szegedy 2015): statistics and sums, then the norm with those of the batch.

    xhat = (x - mean) / sqrt(var + eps),  y = gamma xhat + beta,  with ReLU: 0 where that is <= 0
    dgamma = sum dy xhat,  dbeta = sum dy,  dx = gamma / sqrt(var + eps) (dy - (dbeta + xhat dgamma) / count)
    with ReLU dy counts as 0 where y is <= 0; y is made again from x as forward makes it, bit for bit, and not kept

The statistics of a shard are made in one visit, block by block of rows (channels_cpu.py). A block's sums are taken about
`center`, the mean of the rows before it (of its own where it is the first), so that nothing cancels, however far the mean
is from 0; with s, t the sums of x - center and of its square over b rows, after n rows:

    mean_b = center + s / b,   M_b = t - s^2 / b,   M <- M + M_b + (mean_b - mean)^2 n b / (n + b)         Chan et al. 1983
in float64. What t loses to rounding, eps b (mean_b - mean)^2, is small against what the last term adds.
"""
import numpy as np

from .channels_cpu import add_channels, add_rows, block_rows, map_rows, of_channel, row_length
from .jit import cpu_kernel, helper, inlined
from .simd import flat, fma, less_equal, load, load_tail, where

FINITE = 3e38


@inlined
def _add_centered(inputs, i, table, k, lanes, a, b):
    difference = load_tail(inputs[0], i, lanes) - load(table, k)
    return a + difference, fma(difference, difference, b)


@helper
def _merge(s, t, b, n, center, totals, spread):
    """The statistics of n rows, totals and M, become those of n + b rows; center becomes their mean."""
    of_block, of_all, before, weight = 1.0 / b, 1.0 / (n + b), 1.0 / max(n, 1), n * b / (n + b)
    for k in range(s.size):
        sum_, middle, total = np.float64(s[k]), np.float64(center[k]), totals[k]
        offset = sum_ * of_block
        between = middle + offset - total * before
        spread[k] += t[k] - offset * sum_ + between * between * weight
        total += b * middle + sum_
        totals[k] = total
        middle = total * of_all
        center[k] = middle if abs(middle) < FINITE else 0.0             # infinity stays in the totals


@cpu_kernel
def batchnorm_statistics(x, mean, rest, squares):
    """mean[c] + rest[c] = the mean of x[..., c], squares[c] = sum of (x[..., c] - mean[c] - rest[c])^2."""
    C = x.shape[3]
    count, length = x.size // C, row_length(C)
    rows, step = x.size // length, block_rows(length)
    s, t, center = np.empty(length, np.float32), np.empty(length, np.float32), np.zeros((1, length), np.float32)
    totals, spread, elements = np.zeros(length), np.zeros(length), flat(x, 0)
    for block in range(-1, (rows + step - 1) // step):                  # the first one twice: it has no mean before it
        row = max(block, 0) * step
        b = min(step, rows - row)
        if b > 0:
            add_rows(_add_centered, (x,), row * length, center, b, length, s, t)
            if block < 0:
                for k in range(length):
                    center[0, k] = s[k] / np.float32(b) if abs(s[k]) < FINITE else 0.0
            else:
                _merge(s, t, b, row, center[0], totals, spread)
    for c in range(C):
        middle, M = of_channel(totals, c, C), of_channel(spread, c, C)
        for i in range(rows * length + c, x.size, C):
            middle += elements[i]
        middle /= max(count, 1)
        for k in range(c, length if rows else 0, C):
            M += rows * (totals[k] / rows - middle) ** 2
        for i in range(rows * length + c, x.size, C):
            M += (elements[i] - middle) ** 2
        mean[c], squares[c] = middle, 0.0 if M < 0 else M               # rounding of a constant channel
        rest[c] = middle - np.float64(mean[c])


@helper
def _constants(mean, var, gamma, beta, dgamma, dbeta, count, eps):
    """Rows of constants: mean, scale, beta, and for the input gradient what dgamma and dbeta pull."""
    table = np.empty((5, row_length(mean.size)), np.float32)
    c = 0
    for k in range(table.shape[1]):
        inverse = np.float32(1.0 / np.sqrt(np.float64(var[c]) + eps))
        table[0, k] = mean[c]
        table[1, k] = gamma[c] * inverse
        table[2, k] = beta[c]
        table[3, k] = inverse * dgamma[c] / np.float32(count)
        table[4, k] = dbeta[c] / np.float32(count)
        c += 1
        if c == mean.size:
            c = 0
    return table


@inlined
def _norm(inputs, i, table, k, lanes):
    length = table.shape[1]
    return fma(load_tail(inputs[0], i, lanes) - load(table, k), load(table, length + k), load(table, 2 * length + k))


@inlined
def _norm_relu(inputs, i, table, k, lanes):
    y = _norm(inputs, i, table, k, lanes)
    return where(less_equal(y, 0.0), 0.0, y)


@cpu_kernel
def batchnorm_forward(x, mean, var, gamma, beta, y, eps):
    """y = gamma (x - mean) / sqrt(var + eps) + beta."""
    table = _constants(mean, var, gamma, beta, gamma, beta, 1, eps)
    map_rows(_norm, (x,), table, y, table.shape[1])


@cpu_kernel
def batchnorm_relu_forward(x, mean, var, gamma, beta, y, eps):
    """y = relu(gamma (x - mean) / sqrt(var + eps) + beta)."""
    table = _constants(mean, var, gamma, beta, gamma, beta, 1, eps)
    map_rows(_norm_relu, (x,), table, y, table.shape[1])


@inlined
def _gradient(inputs, i, table, k, lanes):
    return load_tail(inputs[1], i, lanes)


@inlined
def _gradient_relu(inputs, i, table, k, lanes):
    return where(less_equal(_norm(inputs, i, table, k, lanes), 0.0), 0.0, load_tail(inputs[1], i, lanes))


@inlined
def _add(gradient, inputs, i, table, k, lanes, a, b):
    g = gradient(inputs, i, table, k, lanes)
    return fma(g, load_tail(inputs[0], i, lanes) - load(table, k), a), b + g


@inlined
def _add_gradient(inputs, i, table, k, lanes, a, b):
    return _add(_gradient, inputs, i, table, k, lanes, a, b)


@inlined
def _add_gradient_relu(inputs, i, table, k, lanes, a, b):
    return _add(_gradient_relu, inputs, i, table, k, lanes, a, b)


@inlined
def _backward_sums(f, dy, x, var, table, dgamma, dbeta, eps):
    C, length = x.shape[3], table.shape[1]
    sums = np.empty((2, length))
    add_channels(f, (x, dy), 0, x.size, table, length, sums)
    for c in range(C):
        dgamma[c] = of_channel(sums[0], c, C) / np.sqrt(np.float64(var[c]) + eps)
        dbeta[c] = of_channel(sums[1], c, C)


@cpu_kernel
def batchnorm_backward_sums(dy, x, mean, var, dgamma, dbeta, eps):
    """dgamma[c] = sum of dy xhat, dbeta[c] = sum of dy."""
    _backward_sums(_add_gradient, dy, x, var, _constants(mean, var, mean, mean, mean, mean, 1, eps), dgamma, dbeta, eps)


@cpu_kernel
def batchnorm_relu_backward_sums(dy, x, mean, var, gamma, beta, dgamma, dbeta, eps):
    """dgamma[c] = sum of dy xhat, dbeta[c] = sum of dy, where y is not <= 0."""
    table = _constants(mean, var, gamma, beta, gamma, beta, 1, eps)
    _backward_sums(_add_gradient_relu, dy, x, var, table, dgamma, dbeta, eps)


@inlined
def _input_gradient(g, inputs, i, table, k, lanes):
    length = table.shape[1]
    centered = load_tail(inputs[0], i, lanes) - load(table, k)
    pulled = fma(centered, load(table, 3 * length + k), load(table, 4 * length + k))
    return (g - pulled) * load(table, length + k)


@inlined
def _through_norm(inputs, i, table, k, lanes):
    return _input_gradient(_gradient(inputs, i, table, k, lanes), inputs, i, table, k, lanes)


@inlined
def _through_norm_relu(inputs, i, table, k, lanes):
    return _input_gradient(_gradient_relu(inputs, i, table, k, lanes), inputs, i, table, k, lanes)


@cpu_kernel
def batchnorm_backward_input(dy, x, mean, var, gamma, dgamma, dbeta, dx, count, eps):
    """dx = gamma / sqrt(var + eps) (dy - (dbeta + xhat dgamma) / count)."""
    table = _constants(mean, var, gamma, gamma, dgamma, dbeta, count, eps)
    map_rows(_through_norm, (x, dy), table, dx, table.shape[1])


@cpu_kernel
def batchnorm_relu_backward_input(dy, x, mean, var, gamma, beta, dgamma, dbeta, dx, count, eps):
    """dx = gamma / sqrt(var + eps) (dy - (dbeta + xhat dgamma) / count), where dy counts as 0 where y is <= 0."""
    table = _constants(mean, var, gamma, beta, dgamma, dbeta, count, eps)
    map_rows(_through_norm_relu, (x, dy), table, dx, table.shape[1])
