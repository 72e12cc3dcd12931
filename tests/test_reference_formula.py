"""The reference column against its formulas, written as loops over Python integers, and its linear kernels against the
identity of adjoints <forward(x), g> = <x, backward(g)>: exact, since all numbers are small integers.
"""
import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from reference_call import reference

from minicnn import kernels


@pytest.fixture
def rng():
    return np.random.default_rng(2026)


@pytest.fixture
def integers(rng):
    return lambda *shape: rng.integers(-4, 5, shape).astype(float)


def windows(count, pool):
    """Random cases: (H, W), (R, S), stride, pad (top, left), (P, Q)."""
    rng, cases = np.random.default_rng(count), []
    while len(cases) < count:
        extents, size, stride = rng.integers(1, 8, 2), rng.integers(1, 5, 2), rng.integers(1, 4, 2)
        pad = rng.integers(0, size if pool else (5, 5))
        behind = rng.integers(0, size if pool else (5, 5))
        if all(extents + pad + behind >= size):
            cases.append((extents, size, stride, pad, (extents + pad + behind - size) // stride + 1))
    return cases


def numbers(size, stride, pad, pool):
    names = "stride_h", "stride_w", "pad_top", "pad_left", "size_h", "size_w"
    return dict(zip(names if pool else names[:4], map(int, (*stride, *pad, *size)), strict=False))


def seven_loops(x, w, b, stride, pad, P, Q):
    (N, H, W, C), (R, S, _, K) = x.shape, w.shape
    y = np.zeros((N, P, Q, K))
    for n, p, q, k in itertools.product(range(N), range(P), range(Q), range(K)):
        total = int(b[k])
        for r, s, c in itertools.product(range(R), range(S), range(C)):
            h, i = p * stride[0] + r - pad[0], q * stride[1] + s - pad[1]
            if 0 <= h < H and 0 <= i < W:
                total += int(x[n, h, i, c]) * int(w[r, s, c, k])
        y[n, p, q, k] = total
    return y


@pytest.mark.parametrize("case", windows(60, pool=False), ids=str)
def test_conv2d(case, integers, rng):
    (H, W), (R, S), stride, pad, (P, Q) = case
    arguments = numbers((R, S), stride, pad, pool=False)
    N, C, K = rng.integers(1, 4, 3)
    x, w, b, g = integers(N, H, W, C), integers(R, S, C, K), integers(K), integers(N, P, Q, K)
    y = reference("conv2d_forward", x, w, b, P=P, Q=Q, **arguments)
    assert_array_equal(y, seven_loops(x, w, b, stride, pad, P, Q))
    dx = reference("conv2d_backward_input", g, w, H=H, W=W, **arguments)
    dw, db = reference("conv2d_backward_weight", x, g, R=R, S=S, **arguments)
    inner = (y * g).sum() - (b * db).sum()              # <conv(x, w), g> without the bias
    assert inner == (x * dx).sum() == (w * dw).sum()


def test_conv2d_dtypes_agree_on_integers(integers):
    x, w, b = integers(2, 5, 4, 3), integers(3, 2, 3, 4), integers(4)
    y = reference("conv2d_forward", x, w, b, P=3, Q=3, **numbers((3, 2), (1, 1), (0, 0), pool=False))
    for dtype in (np.float16, np.float32, np.longdouble, np.complex64, np.complex128):
        out = np.empty(y.shape, dtype)
        inputs = (a.astype(dtype) for a in (x, w, b))
        kernels.function("reference", "conv2d_forward")(*inputs, out, 1, 1, 0, 0)
        assert_array_equal(out, y)


@pytest.mark.parametrize("case", windows(40, pool=True), ids=str)
def test_pools(case, integers):
    (H, W), size, stride, pad, (P, Q) = case
    arguments = numbers(size, stride, pad, pool=True)
    x, g = integers(2, H, W, 3), integers(2, P, Q, 3)
    y, argmax = reference("maxpool2d_forward", x, P=P, Q=Q, **arguments)
    dx = reference("maxpool2d_backward", g, argmax, H=H, W=W, **arguments)
    assert (y * g).sum() == (x * dx).sum()
    area = int(np.prod(size))                           # multiples of the area keep the division exact
    y = reference("avgpool2d_forward", x * area, P=P, Q=Q, **arguments)
    dx = reference("avgpool2d_backward", g * area, H=H, W=W, **arguments)
    assert (y * g * area).sum() == (x * area * dx).sum()


@pytest.mark.parametrize("case", windows(20, pool=True), ids=str)
def test_maxpool2d_formula(case, rng):
    (H, W), size, stride, pad, (P, Q) = case
    x = rng.choice([-np.inf, -1, 0, 1, np.nan], (2, H, W, 2), p=[0.2, 0.3, 0.2, 0.2, 0.1])      # many ties
    y, argmax = reference("maxpool2d_forward", x, P=P, Q=Q, **numbers(size, stride, pad, pool=True))
    for n, p, q, c in itertools.product(range(2), range(P), range(Q), range(2)):
        taps = {r * size[1] + s: x[n, p * stride[0] + r - pad[0], q * stride[1] + s - pad[1], c]
                for r in range(size[0]) for s in range(size[1])
                if 0 <= p * stride[0] + r - pad[0] < H and 0 <= q * stride[1] + s - pad[1] < W}
        first = min(taps, key=lambda t: -np.inf if np.isnan(taps[t]) else -taps[t])      # min takes the first of equals
        assert argmax[n, p, q, c] == first
        assert_array_equal(y[n, p, q, c], taps[first])


def test_dense(integers):
    x, w, b, g = integers(5, 7), integers(7, 3), integers(3), integers(5, 3)
    y = reference("dense_forward", x, w, b)
    for n, k in np.ndindex(5, 3):
        assert y[n, k] == b[k] + sum(x[n, c] * w[c, k] for c in range(7))
    dw, db = reference("dense_backward_weight", x, g)
    inner = (y * g).sum() - (b * db).sum()
    assert inner == (x * reference("dense_backward_input", g, w)).sum() == (w * dw).sum()


def test_global_avgpool2d(integers):
    x, g = integers(3, 3, 5, 2) * 15, integers(3, 2) * 15
    dx = reference("global_avgpool2d_backward", g, H=3, W=5)
    assert (reference("global_avgpool2d_forward", x) * g).sum() == (x * dx).sum()


def test_batchnorm_sums(integers):
    x, g, mean = integers(3, 4, 5, 2), integers(3, 4, 5, 2), np.array([1.0, -2])
    own, rest, squares = reference("batchnorm_statistics", x[:, :, :4] * 48)              # 48 values a channel: whole means
    for c in range(2):
        values = [48 * x[index] for index in np.ndindex(x.shape) if index[2] < 4 and index[3] == c]
        assert own[c] == sum(values) / 48 and rest[c] == 0 and squares[c] == sum((value - own[c]) ** 2 for value in values)
    dgamma, dbeta = reference("batchnorm_backward_sums", g, x, mean, [4.0, 1.0], eps=0.0)
    assert_array_equal(dgamma, [(g[..., c] * (x[..., c] - mean[c]) / (2, 1)[c]).sum() for c in range(2)])
    assert_array_equal(dbeta, [g[..., c].sum() for c in range(2)])


def test_batchnorm_relu_is_relu_after_batchnorm(integers):
    x, g, mean, var = integers(3, 4, 5, 2), integers(3, 4, 5, 2), np.array([1.0, -2]), np.array([4.0, 1])
    gamma, beta, dgamma, dbeta = np.array([2.0, -1]), np.array([1.0, 2]), np.array([8.0, -16]), np.array([4.0, 32])
    z = reference("batchnorm_forward", x, mean, var, gamma, beta, eps=0.0)
    assert (z == 0).any() and (z < 0).any()
    y, through = reference("relu_forward", z), reference("relu_backward", g, reference("relu_forward", z))
    assert_array_equal(reference("batchnorm_relu_forward", x, mean, var, gamma, beta, eps=0.0), y)
    assert_array_equal(reference("batchnorm_relu_backward_sums", g, x, mean, var, gamma, beta, eps=0.0),
                       reference("batchnorm_backward_sums", through, x, mean, var, eps=0.0))
    sums = {"count": 64, "eps": 0.0}
    assert_array_equal(reference("batchnorm_relu_backward_input", g, x, mean, var, gamma, beta, dgamma, dbeta, **sums),
                       reference("batchnorm_backward_input", through, x, mean, var, gamma, dgamma, dbeta, **sums))


def test_dropout(integers):
    # rate 1/2 doubles what it keeps: exact
    x, g = integers(6, 33), integers(6, 33)
    y, mask = reference("dropout_forward", x, np.arange(6), seed=1, stream=2, epoch=3, rate=0.5)
    assert (y * g).sum() == (x * reference("dropout_backward", g, mask, rate=0.5)).sum()
