"""The same net in JAX: one compiled function for a whole training step, in minicnn's own axes.

    Conv2D -> lax.conv_general_dilated (NHWC, HWIO)    MaxPool2D -> lax.reduce_window    BatchNorm, Dense -> jax.numpy

XLA makes as many threads as there are cores to run on, and knows no other setting: so this process keeps to `threads` cores.
"""
from __future__ import annotations

import os

from measured_nets import batches, first_net

import minicnn as mc
from minicnn.layers.windows import pads

WINDOW = ("NHWC", "HWIO", "NHWC")


class Jax:
    def __init__(self, name: str, threads: int, lr: float, momentum: float):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])      # before JAX starts its threads
        import jax
        self.jax, net = jax, first_net(name)
        self.batches = [(jax.numpy.asarray(x), jax.numpy.asarray(labels)) for x, labels in batches(name)]
        self.first = [dict(layer.params) for layer in net.layers], [dict(layer.state) for layer in net.layers]
        self.update = jax.jit(_step(jax, net.layers, lr, momentum), donate_argnums=(0, 1, 2))

    def restart(self) -> None:
        copies = self.jax.tree.map(lambda array: self.jax.numpy.array(array, copy=True), self.first)
        self.params, self.state = copies
        self.velocity = self.jax.tree.map(self.jax.numpy.zeros_like, self.params)

    def step(self, x, labels) -> float:
        self.params, self.velocity, self.state, loss = self.update(self.params, self.velocity, self.state, x, labels)
        return float(loss)


def _step(jax, layers, lr: float, momentum: float):
    def loss(params, state, x, labels):
        after = []
        for layer, weights, statistics in zip(layers, params, state, strict=True):
            x, statistics = _forward(jax, layer, weights, statistics, x)
            after.append(statistics)
        logits = jax.nn.log_softmax(x)
        return -jax.numpy.take_along_axis(logits, labels[:, None], axis=1).mean(), after

    def step(params, velocity, state, x, labels):
        (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params, state, x, labels)
        velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, grads)
        return jax.tree.map(lambda w, v: w - lr * v, params, velocity), velocity, state, value
    return step


def _forward(jax, layer: mc.Layer, weights: dict, statistics: dict, x):
    """y, and the layer's running statistics afterwards."""
    jnp, lax = jax.numpy, jax.lax
    match layer:
        case mc.Conv2D():
            y = lax.conv_general_dilated(x, weights["w"], layer.stride, _sides(layer), dimension_numbers=WINDOW)
            return (y + weights["b"] if layer.bias else y), statistics
        case mc.MaxPool2D():
            window, stride = (1, *layer.size, 1), (1, *layer.stride, 1)
            return lax.reduce_window(x, -jnp.inf, lax.max, window, stride, [(0, 0), *_sides(layer), (0, 0)]), statistics
        case mc.BatchNorm():
            axes = tuple(range(x.ndim - 1))
            mean, var, count = x.mean(axes), x.var(axes), x.size // x.shape[-1]
            keep = layer.momentum
            after = {"mean": keep * statistics["mean"] + (1 - keep) * mean,
                     "var": keep * statistics["var"] + (1 - keep) * var * count / (count - 1)}
            return (x - mean) * lax.rsqrt(var + layer.eps) * weights["gamma"] + weights["beta"], after
        case mc.Dense():
            return (x @ weights["w"] + weights["b"] if layer.bias else x @ weights["w"]), statistics
        case mc.ReLU():
            return jnp.maximum(x, 0), statistics
        case mc.Flatten():
            return x.reshape(len(x), -1), statistics
    raise ValueError(f"{layer!r} is not known here; add it to benchmarks/jax_twin.py")


def _sides(layer: mc.Layer) -> list[tuple[int, int]]:
    top, bottom, left, right = pads(layer.padding, *layer.input_shape[:2], layer.size, layer.stride)
    return [(top, bottom), (left, right)]
