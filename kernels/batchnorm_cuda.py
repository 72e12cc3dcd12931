"""Batch norm on the GPU in passes over a shard (Ioffe & Szegedy 2015): statistics and sums, then the norm with the batch's.

    xhat = (x - mean) / sqrt(var + eps),  y = gamma xhat + beta,  with ReLU: 0 where that is <= 0
    dgamma = sum dy xhat,  dbeta = sum dy,  dx = gamma / sqrt(var + eps) (dy - (dbeta + xhat dgamma) / count)
    with ReLU dy counts as 0 where y is <= 0; y is made again from x as forward makes it, bit for bit, and not kept

x, y, dy, dx (N,H,W,C); mean, rest, squares, var, gamma, beta, dgamma, dbeta (C,). Sums come from channels_sums.py: parts of
the rows by one kernel, then the parts in fixed order by a second one; no atomics.

Statistics take x twice. With M the mean as the first pass has it, rounded, and d = x - M over m rows:

    mean + rest = M + sum d / m,   squares = sum d^2 - (sum d)^2 / m

Nothing cancels, since M is within rounding of the mean. Refused: one pass about the first row, or with parts merged in
float32: a first image far from all others costs all digits, and float64 runs at 1/64 of the speed on most GPUs.
"""
import functools

import numpy as np

from .cuda_support import blocks
from .cuda_support._compat import cuda, device, float32, int32
from .cuda_support.channel_sums import channel_sums, totals
from .cuda_support.functions import sqrt
from .cuda_support.intrinsics import divide, ld1, ldv4, st1, stv4
from .cuda_support.kernel import cuda_kernel
from .cuda_support.launch import Launch
from .cuda_support.rows import by_rows, row_and_lane
from .cuda_support.spec import KernelSpec
from .cuda_support.specialize import specialize

FINITE = 3e38
NAN = float("nan")


def vectors(n):
    """The types of n arrays."""
    return ", ".join(["float32[::1]"] * n)


@device
def value(x, dy, mean, var, gamma, beta, eps, i, c):
    """The terms of sum x."""
    return ld1(x, i), float32(0)


@device
def deviation(x, dy, mean, var, gamma, beta, eps, i, c):
    """The terms of sum d and sum d^2."""
    d = ld1(x, i) - ld1(mean, c)
    return d, d * d


def mean_rows(sums, mean, m, C, parts):
    """A warp a channel: mean = sum x / m."""
    c, lane = row_and_lane()
    if c < C:
        total, _ = totals(sums, c, lane, C, parts)
        if lane == int32(0):
            st1(mean, c, total / m)


def statistics_rows(sums, mean, rest, squares, m, C, parts):
    """A warp a channel: the mean and the squares, from the sums about a mean that is as good as rounded."""
    c, lane = row_and_lane()
    if c < C:
        first, second = totals(sums, c, lane, C, parts)
        if lane == int32(0):
            middle, offset = ld1(mean, c), first / m
            better = middle + offset
            part = better - middle                                      # two-sum: better + left = middle + offset exactly
            left = (middle - (better - part)) + (offset - part)
            spread = second - first * offset
            if not abs(middle) <= float32(FINITE):                      # infinite or NaN: so is everything about it
                better, left, spread = middle, float32(NAN), float32(NAN)
            st1(mean, c, better)
            st1(rest, c, left)
            st1(squares, c, float32(0) if spread < float32(0) else spread)     # rounding of a constant channel


@cuda_kernel
def batchnorm_statistics(x, mean, rest, squares):
    """mean[c] + rest[c] = the mean of x[..., c], squares[c] = sum of (x[..., c] - mean[c] - rest[c])^2."""
    C = x.shape[3]
    m = np.float32(max(x.size // C, 1))
    sums, parts, first = channel_sums("batchnorm_sum", value, x, x, mean, mean, mean, mean, 0.0)
    deviations, parts, second = channel_sums("batchnorm_deviations", deviation, x, x, mean, mean, mean, mean, 0.0)
    return [first, *by_rows(mean_rows, f"{vectors(2)}, float32", C, parts, sums, mean, m),
            second, *by_rows(statistics_rows, f"{vectors(4)}, float32", C, parts, deviations, mean, rest, squares, m)]


@device
def _inverse(var, eps, c):
    """1 / sqrt(var + eps)."""
    return float32(1) / sqrt(ld1(var, c) + eps)


@device
def _norm(x, mean, var, gamma, beta, eps, c):
    """gamma xhat + beta: forward and backward must agree on its sign, so the rounding is written down."""
    return cuda.fma(x - ld1(mean, c), ld1(gamma, c) * _inverse(var, eps, c), ld1(beta, c))


@device
def _norm_relu(x, mean, var, gamma, beta, eps, c):
    y = _norm(x, mean, var, gamma, beta, eps, c)
    return float32(0) if y <= float32(0) else y


def norm(x, mean, var, gamma, beta, y, eps, C, size):
    """Grid over groups of four elements; their channels follow each other, and begin anew behind the last."""
    i = int32((int32(cuda.blockIdx.x) * int32(cuda.blockDim.x) + int32(cuda.threadIdx.x)) * int32(4))
    c0 = int32(i - divide(i, C) * C)
    if i + int32(4) <= size:
        c1 = int32(c0 + int32(1)) if c0 + int32(1) < C else int32(0)
        c2 = int32(c1 + int32(1)) if c1 + int32(1) < C else int32(0)
        c3 = int32(c2 + int32(1)) if c2 + int32(1) < C else int32(0)
        x0, x1, x2, x3 = ldv4(x, i)
        stv4(y, i, EACH(x0, mean, var, gamma, beta, eps, c0), EACH(x1, mean, var, gamma, beta, eps, c1),
             EACH(x2, mean, var, gamma, beta, eps, c2), EACH(x3, mean, var, gamma, beta, eps, c3))
    else:
        for j in range(i, size):
            st1(y, j, EACH(ld1(x, j), mean, var, gamma, beta, eps, c0))
            c0 = int32(c0 + int32(1)) if c0 + int32(1) < C else int32(0)


@functools.cache
def _norm_spec(name, each, block):
    return KernelSpec(specialize(norm, name, EACH=each), f"void({vectors(6)}, float32, int32, int32)", block)


def _forward(name, each, x, mean, var, gamma, beta, y, eps):
    spec = _norm_spec(name, each, blocks.ELEMENTS)
    return [Launch(spec, (-(-x.size // (4 * spec.block)),), x, mean, var, gamma, beta, y, np.float32(eps),
                   np.int32(x.shape[3]), np.int32(x.size))]


@cuda_kernel
def batchnorm_forward(x, mean, var, gamma, beta, y, eps):
    """y = gamma (x - mean) / sqrt(var + eps) + beta."""
    return _forward("batchnorm_forward", _norm, x, mean, var, gamma, beta, y, eps)


@cuda_kernel
def batchnorm_relu_forward(x, mean, var, gamma, beta, y, eps):
    """y = relu(gamma (x - mean) / sqrt(var + eps) + beta)."""
    return _forward("batchnorm_relu_forward", _norm_relu, x, mean, var, gamma, beta, y, eps)


@device
def _gradient(dy, x, mean, var, gamma, beta, eps, c):
    return dy


@device
def _gradient_relu(dy, x, mean, var, gamma, beta, eps, c):
    return float32(0) if _norm(x, mean, var, gamma, beta, eps, c) <= float32(0) else dy


@device
def gradient(x, dy, mean, var, gamma, beta, eps, i, c):
    """The terms of sum dy (x - mean) and sum dy."""
    g = ld1(dy, i)
    return g * (ld1(x, i) - ld1(mean, c)), g


@device
def gradient_relu(x, dy, mean, var, gamma, beta, eps, i, c):
    """The same, where y is not <= 0."""
    g = _gradient_relu(ld1(dy, i), ld1(x, i), mean, var, gamma, beta, eps, c)
    return g * (ld1(x, i) - ld1(mean, c)), g


def gradient_rows(sums, var, dgamma, dbeta, eps, C, parts):
    """A warp a channel: dgamma = sum dy (x - mean) / sqrt(var + eps), dbeta = sum dy."""
    c, lane = row_and_lane()
    if c < C:
        first, second = totals(sums, c, lane, C, parts)
        if lane == int32(0):
            st1(dgamma, c, first * _inverse(var, eps, c))
            st1(dbeta, c, second)


def _backward_sums(name, terms, dy, x, mean, var, gamma, beta, dgamma, dbeta, eps):
    sums, parts, launch = channel_sums(name, terms, x, dy, mean, var, gamma, beta, eps)
    args = sums, var, dgamma, dbeta, np.float32(eps)
    return [launch, *by_rows(gradient_rows, f"{vectors(4)}, float32", x.shape[3], parts, *args)]


@cuda_kernel
def batchnorm_backward_sums(dy, x, mean, var, dgamma, dbeta, eps):
    """dgamma[c] = sum of dy xhat, dbeta[c] = sum of dy."""
    return _backward_sums("batchnorm_backward_sums", gradient, dy, x, mean, var, mean, mean, dgamma, dbeta, eps)


@cuda_kernel
def batchnorm_relu_backward_sums(dy, x, mean, var, gamma, beta, dgamma, dbeta, eps):
    """dgamma[c] = sum of dy xhat, dbeta[c] = sum of dy, where y is not <= 0."""
    return _backward_sums("batchnorm_relu_backward_sums", gradient_relu, dy, x, mean, var, gamma, beta, dgamma, dbeta, eps)


def norm_gradient(dy, x, mean, var, gamma, beta, dgamma, dbeta, dx, eps, share, C, size):
    """Grid over groups of four elements, as in `norm`; share = 1 / count."""
    i = int32((int32(cuda.blockIdx.x) * int32(cuda.blockDim.x) + int32(cuda.threadIdx.x)) * int32(4))
    c0 = int32(i - divide(i, C) * C)
    if i + int32(4) <= size:
        c1 = int32(c0 + int32(1)) if c0 + int32(1) < C else int32(0)
        c2 = int32(c1 + int32(1)) if c1 + int32(1) < C else int32(0)
        c3 = int32(c2 + int32(1)) if c2 + int32(1) < C else int32(0)
        g0, g1, g2, g3 = ldv4(dy, i)
        x0, x1, x2, x3 = ldv4(x, i)
        stv4(dx, i,
             _through(EACH(g0, x0, mean, var, gamma, beta, eps, c0), x0, mean, var, gamma, dgamma, dbeta, eps, share, c0),
             _through(EACH(g1, x1, mean, var, gamma, beta, eps, c1), x1, mean, var, gamma, dgamma, dbeta, eps, share, c1),
             _through(EACH(g2, x2, mean, var, gamma, beta, eps, c2), x2, mean, var, gamma, dgamma, dbeta, eps, share, c2),
             _through(EACH(g3, x3, mean, var, gamma, beta, eps, c3), x3, mean, var, gamma, dgamma, dbeta, eps, share, c3))
    else:
        for j in range(i, size):
            v = ld1(x, j)
            g = EACH(ld1(dy, j), v, mean, var, gamma, beta, eps, c0)
            st1(dx, j, _through(g, v, mean, var, gamma, dgamma, dbeta, eps, share, c0))
            c0 = int32(c0 + int32(1)) if c0 + int32(1) < C else int32(0)


@device
def _through(g, x, mean, var, gamma, dgamma, dbeta, eps, share, c):
    """gamma / sqrt(var + eps) (g - (dbeta + xhat dgamma) / count)."""
    inverse = _inverse(var, eps, c)
    pull = (ld1(dbeta, c) + (x - ld1(mean, c)) * inverse * ld1(dgamma, c)) * share
    return ld1(gamma, c) * inverse * (g - pull)


@functools.cache
def _gradient_spec(name, each, block):
    return KernelSpec(specialize(norm_gradient, name, EACH=each), f"void({vectors(9)}, float32, float32, int32, int32)", block)


def _backward_input(name, each, dy, x, mean, var, gamma, beta, dgamma, dbeta, dx, count, eps):
    spec = _gradient_spec(name, each, blocks.ELEMENTS)
    return [Launch(spec, (-(-x.size // (4 * spec.block)),), dy, x, mean, var, gamma, beta, dgamma, dbeta, dx, np.float32(eps),
                   np.float32(1 / count), np.int32(x.shape[3]), np.int32(x.size))]


@cuda_kernel
def batchnorm_backward_input(dy, x, mean, var, gamma, dgamma, dbeta, dx, count, eps):
    """dx = gamma / sqrt(var + eps) (dy - (dbeta + xhat dgamma) / count)."""
    return _backward_input("batchnorm_backward_input", _gradient, dy, x, mean, var, gamma, gamma, dgamma, dbeta, dx, count, eps)


@cuda_kernel
def batchnorm_relu_backward_input(dy, x, mean, var, gamma, beta, dgamma, dbeta, dx, count, eps):
    """dx = gamma / sqrt(var + eps) (dy - (dbeta + xhat dgamma) / count), where dy counts as 0 where y is <= 0."""
    name = "batchnorm_relu_backward_input"
    return _backward_input(name, _gradient_relu, dy, x, mean, var, gamma, beta, dgamma, dbeta, dx, count, eps)
