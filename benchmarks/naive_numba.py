"""The same net as a first course in Numba would write it: plain loops over (N,C,H,W), `prange` on the outermost.

No vectors, tiles, packing or buffers: what LLVM makes of the formulas. It shows how much of a speed is the compiler's.
"""
from __future__ import annotations

import numpy as np
from measured_nets import batches, first_net
from numba import njit, prange, set_num_threads

import minicnn as mc
from minicnn.layers.windows import pads

parallel = njit(parallel=True)


class Naive:
    def __init__(self, name: str, threads: int, lr: float, momentum: float):
        set_num_threads(threads)
        self.net, self.lr, self.momentum = first_net(name), np.float32(lr), np.float32(momentum)
        self.batches = [(np.array(x.transpose(0, 3, 1, 2), order="C"), labels) for x, labels in batches(name)]

    def restart(self) -> None:
        state = mc.to_torch_state(self.net)
        self.layers = [_layer(layer, state.get(f"{i}.weight"), state.get(f"{i}.bias")) for i, layer in enumerate(self.net.layers)]

    def step(self, x, labels) -> float:
        for layer in self.layers:
            x = layer.forward(x)
        x = x - x.max(axis=1, keepdims=True)
        logs = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
        rows = np.arange(len(x))
        dy = np.exp(logs)
        dy[rows, labels] -= 1
        dy /= np.float32(len(x))
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        for layer in self.layers:
            for weight, gradient, velocity in layer.weights():
                velocity *= self.momentum
                velocity += gradient
                weight -= self.lr * velocity
        return float(-logs[rows, labels].mean())


class Layer:
    def weights(self) -> list:
        return []


class Weighted(Layer):
    def __init__(self, w, b):
        self.w, self.b, self.vw, self.vb = w, b, np.zeros_like(w), np.zeros_like(b)

    def weights(self) -> list:
        return [(self.w, self.dw, self.vw), (self.b, self.db, self.vb)]


class Conv(Weighted):
    def __init__(self, w, b, pad: int):
        super().__init__(w, b)
        self.pad = pad

    def forward(self, x):
        self.x = x
        N, _, H, W = x.shape
        K, _, R, S = self.w.shape
        y = np.empty((N, K, H + 2 * self.pad - R + 1, W + 2 * self.pad - S + 1), np.float32)
        conv_forward(x, self.w, self.b, y, self.pad)
        return y

    def backward(self, dy):
        dx, self.dw, self.db = np.empty_like(self.x), np.empty_like(self.w), dy.sum(axis=(0, 2, 3))
        conv_backward_weight(self.x, dy, self.dw, self.pad)
        conv_backward_input(dy, self.w, dx, self.pad)
        return dx


class Dense(Weighted):
    def forward(self, x):
        self.x = x
        return x @ self.w.T + self.b

    def backward(self, dy):
        self.dw, self.db = dy.T @ self.x, dy.sum(axis=0)
        return dy @ self.w


class Pool(Layer):
    def __init__(self, size: int):
        self.size = size

    def forward(self, x):
        N, C, H, W = x.shape
        self.x, y = x, np.empty((N, C, H // self.size, W // self.size), np.float32)
        self.best = np.empty(y.shape, np.int64)
        pool_forward(x, y, self.best, self.size)
        return y

    def backward(self, dy):
        dx = np.zeros_like(self.x)
        pool_backward(dy, self.best, dx, self.size)
        return dx


class ReLU(Layer):
    def forward(self, x):
        self.x = x
        return np.maximum(x, np.float32(0))

    def backward(self, dy):
        return dy * (self.x > 0)


class Flatten(Layer):
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy):
        return dy.reshape(self.shape)


def _layer(layer: mc.Layer, w, b) -> Layer:
    match layer:
        case mc.Conv2D() if layer.stride == (1, 1) and layer.bias:
            return Conv(w, b, pads(layer.padding, *layer.input_shape[:2], layer.size, layer.stride)[0])
        case mc.MaxPool2D() if layer.size == layer.stride and layer.padding in (0, "valid"):
            return Pool(layer.size[0])
        case mc.Dense():
            return Dense(w, b)
        case mc.ReLU():
            return ReLU()
        case mc.Flatten():
            return Flatten()
    raise ValueError(f"{layer!r} is not known here; add it to benchmarks/naive_numba.py")


@parallel
def conv_forward(x, w, b, y, pad):
    N, C, H, W = x.shape
    K, _, R, S = w.shape
    for n in prange(N):
        for k in range(K):
            for p in range(y.shape[2]):
                for q in range(y.shape[3]):
                    total = b[k]
                    for c in range(C):
                        for r in range(max(0, pad - p), min(R, H + pad - p)):
                            for s in range(max(0, pad - q), min(S, W + pad - q)):
                                total += x[n, c, p + r - pad, q + s - pad] * w[k, c, r, s]
                    y[n, k, p, q] = total


@parallel
def conv_backward_input(dy, w, dx, pad):
    N, C, H, W = dx.shape
    K, _, R, S = w.shape
    P, Q = dy.shape[2:]
    for n in prange(N):
        for c in range(C):
            for h in range(H):
                for i in range(W):
                    total = np.float32(0)
                    for k in range(K):
                        for r in range(max(0, h + pad - P + 1), min(R, h + pad + 1)):
                            for s in range(max(0, i + pad - Q + 1), min(S, i + pad + 1)):
                                total += dy[n, k, h + pad - r, i + pad - s] * w[k, c, r, s]
                    dx[n, c, h, i] = total


@parallel
def conv_backward_weight(x, dy, dw, pad):
    N, C, H, W = x.shape
    K, _, R, S = dw.shape
    P, Q = dy.shape[2:]
    for k in prange(K):
        for c in range(C):
            for r in range(R):
                for s in range(S):
                    total = np.float32(0)
                    for n in range(N):
                        for p in range(max(0, pad - r), min(P, H + pad - r)):
                            part = np.float32(0)
                            for q in range(max(0, pad - s), min(Q, W + pad - s)):
                                part += x[n, c, p + r - pad, q + s - pad] * dy[n, k, p, q]
                            total += part
                    dw[k, c, r, s] = total


@parallel
def pool_forward(x, y, best, size):
    for n in prange(y.shape[0]):
        for c in range(y.shape[1]):
            for p in range(y.shape[2]):
                for q in range(y.shape[3]):
                    best[n, c, p, q] = 0
                    for tap in range(size * size):
                        chosen = best[n, c, p, q]
                        value = x[n, c, p * size + tap // size, q * size + tap % size]
                        if value > x[n, c, p * size + chosen // size, q * size + chosen % size]:
                            best[n, c, p, q] = tap
                    chosen = best[n, c, p, q]
                    y[n, c, p, q] = x[n, c, p * size + chosen // size, q * size + chosen % size]


@parallel
def pool_backward(dy, best, dx, size):
    for n in prange(dy.shape[0]):
        for c in range(dy.shape[1]):
            for p in range(dy.shape[2]):
                for q in range(dy.shape[3]):
                    tap = best[n, c, p, q]
                    dx[n, c, p * size + tap // size, q * size + tap % size] = dy[n, c, p, q]
