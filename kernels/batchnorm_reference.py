"""Batch normalisation of each channel over all images and pixels (Ioffe & Szegedy 2015), cut where shards meet.

Forward, count = N H W of the whole batch. The shards' sums are added before the division; the variance takes a second
pass, since E[x^2] - E[x]^2 would cancel:

    sum       total[c] = sum over n,h,i of x[n,h,i,c]                    mean = total / count
    squares   total[c] = sum over n,h,i of (x[n,h,i,c] - mean[c])^2      var  = total / count
    forward   y = gamma xhat + beta,   xhat[n,h,i,c] = (x[n,h,i,c] - mean[c]) / sqrt(var[c] + eps)

Backward, with mean and var as functions of x; the shards' sums are added before the last step:

    backward_sums   dgamma[c] = sum over n,h,i of dy xhat                dbeta[c] = sum over n,h,i of dy
    backward_input  dx = gamma / sqrt(var + eps) (dy - (dbeta + xhat dgamma) / count)

x, dx, y, dy (N,H,W,C); total, mean, var, gamma, beta, dgamma, dbeta (C,). For mean and var that do not depend on x
(running statistics) dx = gamma / sqrt(var + eps) dy, which is backward_input with dgamma = dbeta = 0.
"""
import numpy as np

from .table import reference_kernel


@reference_kernel
def batchnorm_sum(x, total):
    """x (N,H,W,C) -> total (C,)."""
    total[...] = x.sum(axis=(0, 1, 2))


@reference_kernel
def batchnorm_squares(x, mean, total):
    """x (N,H,W,C), mean (C,) -> total (C,)."""
    total[...] = ((x - mean) ** 2).sum(axis=(0, 1, 2))


@reference_kernel
def batchnorm_forward(x, mean, var, gamma, beta, y, eps):
    """x (N,H,W,C), mean, var, gamma, beta (C,) -> y (N,H,W,C)."""
    y[...] = gamma * _normalised(x, mean, var, eps) + beta


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


def _normalised(x, mean, var, eps):
    """xhat (N,H,W,C)."""
    return (x - mean) / np.sqrt(var + eps)
