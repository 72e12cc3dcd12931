"""Dense layer: y = x w + b, and its gradients dx = dy w^T, dw = x^T dy, db = sum of dy; contractions of one reduction.

    x (N, C) · w (C, K) · b (K,) -> y (N, K)
"""
import numpy as np

from .contract_cpu import PANEL
from .jit import call, cpu_kernel
from .simd import flat
from .sums_cpu import CHAIN, sum_rows


@cpu_kernel
def dense_forward(x, w, b, y, contract):
    """y[n, k] = b[k] + sum over c of x[n, c] w[c, k]."""
    (N, C), K = x.shape, w.shape[1]
    call(contract, flat(x, 0), flat(w, 0), b, flat(y, 0), (
        1, 1, N, K, 1, 1, C,                            # N O M K, T U V
        0, 0, C, 0, 0, 1, 0, 0, 0, K, PANEL,            # a by n, o, i, t, u, v; b by o, t, u, v, panel
        0, 0, 0, PANEL, 0, 0, K, 0, 0, 0))              # start by n, o, i, panel; out by n, o, i; first of a; no ReLU


@cpu_kernel
def dense_backward_input(dy, w, dx, contract):
    """dx[n, c] = sum over k of dy[n, k] w[c, k]."""
    (N, K), C = dy.shape, w.shape[0]
    transposed, zeros = np.empty(K * C, np.float32), np.zeros(PANEL, np.float32)
    for c in range(C):
        for k in range(K):
            transposed[k * C + c] = w[c, k]
    call(contract, flat(dy, 0), transposed, zeros, flat(dx, 0), (
        1, 1, N, C, 1, 1, K,
        0, 0, K, 0, 0, 1, 0, 0, 0, C, PANEL,            # as above
        0, 0, 0, 0, 0, 0, C, 0, 0, 0))


@cpu_kernel
def dense_backward_weight(x, dy, dw, db, contract):
    """dw[c, k] = sum over n of x[n, c] dy[n, k], in runs of CHAIN images that add up in dw; db[k] = sum over n of dy[n, k]."""
    (N, C), K = x.shape, dy.shape[1]
    out, zeros = flat(dw, 0), np.zeros(PANEL, np.float32)
    for first in range(0, max(N, 1), CHAIN):
        start, step, panel = (out, K, PANEL) if first else (zeros, 0, 0)
        call(contract, flat(x, first * C), flat(dy, first * K), start, out, (
            1, 1, C, K, 1, 1, min(CHAIN, N - first),
            0, 0, 1, 0, 0, C, 0, 0, 0, K, PANEL,        # as above
            0, 0, step, panel, 0, 0, K, 0, 0, 0))
    sum_rows(dy, N, K, db)
