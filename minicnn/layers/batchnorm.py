"""Batch normalisation: each channel gets mean 0 and variance 1 over the batch, then a learned scale and shift.

    xhat = (x - mean) / sqrt(var + eps)
    y    = gamma * xhat + beta
    dgamma = sum of dy * xhat              dbeta = sum of dy
    dx     = gamma / sqrt(var + eps) * (dy - (dbeta + xhat * dgamma) / M)           train=True
    dx     = gamma / sqrt(var + eps) * dy                                           train=False

x, y (N,H,W,C) or (N,C); mean, var, gamma, beta (C,); sums and statistics run over the M = N*H*W values of a channel.
With train=True mean and var (divided by M) are those of the whole batch, and the running statistics in `state` follow:

    running = momentum * running + (1 - momentum) * batch              with the unbiased variance, divided by M - 1

With train=False the running statistics are used, as constants. Of a batch that comes in shards, each is visited once and
gives its own mean (in two parts, since float32 would round it) and squares about it, which are put together in shard
order, so that the bits do not depend on who computed them: with m values of a channel in a shard,

    mean = sum of m mean_shard / M         var = sum of (squares_shard + m (mean_shard - mean)^2) / M
Sources: Ioffe and Szegedy 2015, "Batch normalization", algorithms 1 and 2; derivative: section 3. Chan, Golub and LeVeque
1983, "Algorithms for computing the sample variance".
"""
from __future__ import annotations

import numpy as np

from .. import initializers, kernels, memory
from ..arguments import real
from .base import Layer, LayerError, Shape, batch_text, in_order


class BatchNorm(Layer):
    """params gamma, beta; state mean, var. momentum: share of the old running statistics that a step keeps."""

    recordable = True           # in evaluation mode: in training it needs the whole batch, and stands outside of a recording

    def __init__(self, momentum: float = 0.9, eps: float = 1e-5):
        self.momentum, self.eps = real(momentum, "momentum", high=1), real(eps, "eps", low=1e-30)

    def build(self, input_shape: Shape, rng) -> Shape:
        if len(input_shape) not in (1, 3):
            raise LayerError(f"{self!r} got {batch_text(input_shape)}: it needs (N,H,W,C) or (N,C).")
        channels = input_shape[-1:]
        self.params = {name: initializers.constant(value, channels, rng) for name, value in (("gamma", 1), ("beta", 0))}
        self.state = {name: initializers.constant(value, channels, rng) for name, value in (("mean", 0), ("var", 1))}
        return input_shape

    def whole_batch(self, train):
        return train

    def forward(self, x, train=False, rng=None):
        return self.forward_shards([x], train, None, in_order)[0]

    def backward(self, dy, cache):
        (dx,), grads = self.backward_shards([dy], [cache], in_order)
        return dx, grads

    def forward_shards(self, xs, train, rngs, run, relu=False):
        """relu: as one with the ReLU behind it (fused.py), forward and backward."""
        kernel = "batchnorm_relu_forward" if relu else "batchnorm_forward"
        mean, var, count = self._batch_statistics(xs, run) if train else (self.state["mean"], self.state["var"], None)
        gamma, beta = self.params["gamma"], self.params["beta"]

        def normalise(x):
            y = memory.empty(x.shape, x.dtype)
            kernels.get(kernel, x.dtype)(_maps(x), mean, var, gamma, beta, _maps(y), self.eps)
            return y, (x, mean, var, count)

        return run(normalise, xs)

    def backward_shards(self, dys, caches, run, relu=False):
        gamma, kernel = self.params["gamma"], "batchnorm_relu_backward" if relu else "batchnorm_backward"
        beta = (self.params["beta"],) if relu else ()           # which values ReLU let through follows from x
        _, mean, var, count = caches[0]

        def sums(dy, cache):
            x, dgamma, dbeta = cache[0], np.empty_like(gamma), np.empty_like(gamma)
            factors = (gamma, *beta) if relu else ()
            kernels.get(f"{kernel}_sums", dy.dtype)(_maps(dy), _maps(x), mean, var, *factors, dgamma, dbeta, self.eps)
            return dgamma, dbeta

        dgamma, dbeta = (_add(parts) for parts in zip(*run(sums, dys, caches), strict=True))
        # Running statistics are constants: nothing flows back through them, so their sums count as 0 in dx.
        through = (dgamma, dbeta, count) if count else (np.zeros_like(gamma), np.zeros_like(gamma), 1)

        def input_gradient(dy, cache):
            dx = memory.empty(dy.shape, dy.dtype)
            kernels.get(f"{kernel}_input", dy.dtype)(
                _maps(dy), _maps(cache[0]), mean, var, gamma, *beta, *through[:2], _maps(dx), through[2], self.eps)
            return dx

        return run(input_gradient, dys, caches), {"gamma": dgamma, "beta": dbeta}

    def _batch_statistics(self, xs, run) -> tuple[np.ndarray, np.ndarray, int]:
        """mean and biased variance of the batch, and the number of values behind them; moves the running statistics."""
        channels, dtype = xs[0].shape[-1], xs[0].dtype
        count = sum(x.size for x in xs) // channels
        if count < 2:
            raise LayerError(f"{self.name}: batch normalisation needs at least 2 values per channel in training, "
                             f"got {count}; use a larger batch.")

        def statistics(x):
            mean, rest, squares = np.empty((3, channels), dtype)
            kernels.get("batchnorm_statistics", dtype)(_maps(x), mean, rest, squares)
            return x.size // channels, mean.astype(np.result_type(dtype, np.float64)) + rest, squares

        mean, var = (total.astype(dtype) for total in _joined(run(statistics, xs), count))
        for name, batch in (("mean", mean), ("var", var * (count / (count - 1)))):
            self.state[name][...] = self.momentum * self.state[name] + (1 - self.momentum) * batch
        return mean, var, count


def _maps(x: np.ndarray) -> np.ndarray:
    """(N,C) as (N,1,1,C), for kernels that know maps only; a view."""
    return x if x.ndim == 4 else x.reshape(x.shape[0], 1, 1, x.shape[1])


def _joined(shards, count: int) -> tuple[np.ndarray, np.ndarray]:
    """mean and biased variance of `count` values from (values, mean, squares) of each shard, in float64."""
    mean = sum(m * shard for m, shard, _ in shards) / count
    return mean, sum(squares + m * (shard - mean) ** 2 for m, shard, squares in shards) / count


def _add(parts) -> np.ndarray:
    """The sum over the shards, in shard order."""
    total = np.array(parts[0])
    for part in parts[1:]:
        total += part
    return total
