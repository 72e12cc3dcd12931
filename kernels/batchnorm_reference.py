"""Batch normalisation of each channel over all images and pixels (Ioffe & Szegedy 2015), cut where shards meet.

Forward. A shard gives the mean of its own m = N H W values and their squares about it; what the shards give together,
count = the sum of all m, is put together by the caller (Chan, Golub & LeVeque 1983). E[x^2] - E[x]^2 would cancel:

    statistics  mean[c] = sum over n,h,i of x[n,h,i,c] / m        squares[c] = sum over n,h,i of (x[n,h,i,c] - mean[c])^2
                rest[c] = sum over n,h,i of (x[n,h,i,c] - mean[c]) / m,  what rounding has left of the mean
                mean = sum of m (mean_shard + rest_shard) / count
                var  = sum of (squares_shard + m (mean_shard + rest_shard - mean)^2) / count
    forward     y = gamma xhat + beta,   xhat[n,h,i,c] = (x[n,h,i,c] - mean[c]) / sqrt(var[c] + eps)

Backward, with mean and var as functions of x; the shards' sums are added before the last step:

    backward_sums   dgamma[c] = sum over n,h,i of dy xhat                dbeta[c] = sum over n,h,i of dy
    backward_input  dx = gamma / sqrt(var + eps) (dy - (dbeta + xhat dgamma) / count)

The kernels with relu are those of y = relu(gamma xhat + beta), 0 where that is <= 0: there dy counts as 0.

x, dx, y, dy (N,H,W,C); rest, squares, mean, var, gamma, beta, dgamma, dbeta (C,). For mean and var that do not depend on x
(running statistics) dx = gamma / sqrt(var + eps) dy, which is backward_input with dgamma = dbeta = 0.
"""
import numpy as np

from .table import reference_kernel


@reference_kernel
def batchnorm_statistics(x, mean, rest, squares):
    """x (N,H,W,C) -> mean, rest, squares (C,); all 0 for N = 0."""
    m = max(x[..., 0].size, 1)
    mean[...] = x.sum(axis=(0, 1, 2)) / m
    rest[...] = (x - mean).sum(axis=(0, 1, 2)) / m
    squares[...] = ((x - mean) ** 2).sum(axis=(0, 1, 2))


@reference_kernel
def batchnorm_forward(x, mean, var, gamma, beta, y, eps):
    """x (N,H,W,C), mean, var, gamma, beta (C,) -> y (N,H,W,C)."""
    y[...] = gamma * _normalised(x, mean, var, eps) + beta


@reference_kernel
def batchnorm_relu_forward(x, mean, var, gamma, beta, y, eps):
    """x (N,H,W,C), mean, var, gamma, beta (C,) -> y (N,H,W,C)."""
    z = gamma * _normalised(x, mean, var, eps) + beta
    y[...] = np.where(z.real <= 0, 0, z)


@reference_kernel
def batchnorm_backward_sums(dy, x, mean, var, dgamma, dbeta, eps):
    """dy, x (N,H,W,C), mean, var (C,) -> dgamma, dbeta (C,)."""
    dgamma[...] = (dy * _normalised(x, mean, var, eps)).sum(axis=(0, 1, 2))
    dbeta[...] = dy.sum(axis=(0, 1, 2))


@reference_kernel
def batchnorm_backward_input(dy, x, mean, var, gamma, dgamma, dbeta, dx, count, eps):
    """dy, x (N,H,W,C), mean, var, gamma, dgamma, dbeta (C,) -> dx (N,H,W,C)."""
    through_statistics = (dbeta + _normalised(x, mean, var, eps) * dgamma) / count
    dx[...] = gamma / np.sqrt(var + eps) * (dy - through_statistics)


@reference_kernel
def batchnorm_relu_backward_sums(dy, x, mean, var, gamma, beta, dgamma, dbeta, eps):
    """dy, x (N,H,W,C), mean, var, gamma, beta (C,) -> dgamma, dbeta (C,)."""
    let_through = _through_relu(dy, x, mean, var, gamma, beta, eps)
    dgamma[...] = (let_through * _normalised(x, mean, var, eps)).sum(axis=(0, 1, 2))
    dbeta[...] = let_through.sum(axis=(0, 1, 2))


@reference_kernel
def batchnorm_relu_backward_input(dy, x, mean, var, gamma, beta, dgamma, dbeta, dx, count, eps):
    """dy, x (N,H,W,C), mean, var, gamma, beta, dgamma, dbeta (C,) -> dx (N,H,W,C)."""
    through_statistics = (dbeta + _normalised(x, mean, var, eps) * dgamma) / count
    dx[...] = gamma / np.sqrt(var + eps) * (_through_relu(dy, x, mean, var, gamma, beta, eps) - through_statistics)


def _through_relu(dy, x, mean, var, gamma, beta, eps):
    """dy (N,H,W,C), 0 where y is."""
    z = gamma * _normalised(x, mean, var, eps) + beta
    return np.where(z.real <= 0, 0, dy)


def _normalised(x, mean, var, eps):
    """xhat (N,H,W,C)."""
    return (x - mean) / np.sqrt(var + eps)
