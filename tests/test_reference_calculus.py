"""The reference column's backward passes against calculus: the derivative of <forward(inputs), g> by every input.

Analytic kernels by the complex step, f'(x) = Im f(x + ih) / h with h = 1e-30, which has no rounding error of its own
(Squire & Trapp, SIAM Review 1998). The others (ReLU, max pool, erf) by central differences in float64 with h = 1e-5, on
values at least 100 h away from kinks and from each other.
"""
import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference_call import reference

COMPLEX_STEP, DIFFERENCE = 1e-30, 1e-5


def derivative(function, at, g, analytic=True):
    """d <function(at), g> / d at, entry by entry; g has the shape of function(at)."""
    result = np.empty(at.shape)
    for index in np.ndindex(at.shape):
        if analytic:
            moved = at.astype(complex)
            moved[index] += 1j * COMPLEX_STEP
            result[index] = (function(moved).imag * g).sum() / COMPLEX_STEP
        else:
            up, down = at.copy(), at.copy()
            up[index] += DIFFERENCE
            down[index] -= DIFFERENCE
            result[index] = ((function(up) - function(down)) * g).sum() / (2 * DIFFERENCE)
    return result


def assert_equal_gradients(backward, calculus, analytic=True):
    scale = np.abs(calculus).max()
    assert scale > 0.01, "a gradient of zeros proves nothing"
    relative = 1e-13 if analytic else 1e-8
    assert_allclose(backward, calculus, rtol=10 * relative, atol=relative * scale)


@pytest.fixture
def normal():
    rng = np.random.default_rng(7)
    return lambda *shape: rng.standard_normal(shape)


def apart(*shape):
    """Values with |x| >= 0.005 that lie at least 0.01 from each other, in random order: no kinks, no ties."""
    count = int(np.prod(shape))
    return np.random.default_rng(count).permutation((np.arange(count) - count // 2 + 0.5) * 0.01).reshape(shape)


# (H, W), (R, S), (stride_h, stride_w), (pad_top, pad_left, pad_bottom, pad_right)
CONVOLUTIONS = {
    "plain": ((4, 5), (3, 3), (1, 1), (0, 0, 0, 0)),
    "one pixel filter": ((2, 3), (1, 1), (1, 1), (0, 0, 0, 0)),
    "same pads": ((3, 4), (3, 3), (1, 1), (1, 1, 1, 1)),
    "uneven strides": ((6, 7), (3, 2), (3, 2), (0, 0, 0, 0)),
    "stride above filter": ((7, 5), (2, 1), (3, 3), (0, 0, 0, 0)),
    "rows left over": ((6, 6), (3, 2), (2, 3), (0, 0, 0, 0)),
    "uneven pads": ((4, 3), (3, 4), (1, 2), (2, 0, 1, 3)),
    "wide filter": ((2, 7), (1, 5), (1, 1), (0, 2, 0, 1)),
    "tall filter": ((7, 2), (5, 1), (2, 1), (1, 0, 3, 0)),
    "filter above image": ((2, 1), (4, 3), (1, 1), (1, 1, 2, 2)),
    "pads above filter": ((2, 2), (2, 1), (1, 2), (3, 2, 1, 0)),
}


def places(extents, size, stride, pads):
    """(P, Q): how often the window fits, rounded down."""
    return tuple((extent + pads[i] + pads[i + 2] - size[i]) // stride[i] + 1 for i, extent in enumerate(extents))


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv2d(case, normal):
    extents, size, stride, pads = CONVOLUTIONS[case]
    numbers = dict(zip(("stride_h", "stride_w", "pad_top", "pad_left"), stride + pads[:2], strict=True))
    P, Q = places(extents, size, stride, pads)
    x, w, b, g = normal(2, *extents, 3), normal(*size, 3, 2), normal(2), normal(2, P, Q, 2)
    dx = reference("conv2d_backward_input", g, w, H=extents[0], W=extents[1], **numbers)
    dw, db = reference("conv2d_backward_weight", x, g, R=size[0], S=size[1], **numbers)

    def forward(x, w, b):
        return reference("conv2d_forward", x, w, b, P=P, Q=Q, **numbers)

    assert_equal_gradients(dx, derivative(lambda x: forward(x, w, b), x, g))
    assert_equal_gradients(dw, derivative(lambda w: forward(x, w, b), w, g))
    assert_equal_gradients(db, derivative(lambda b: forward(x, w, b), b, g))


POOLS = {
    "plain": ((4, 6), (2, 2), (2, 2), (0, 0, 0, 0)),
    "overlapping": ((5, 5), (3, 3), (2, 1), (0, 0, 0, 0)),
    "not square": ((3, 7), (1, 4), (1, 3), (0, 0, 0, 0)),
    "stride above window": ((7, 7), (2, 2), (3, 4), (0, 0, 0, 0)),
    "rows left over": ((5, 6), (2, 4), (2, 4), (0, 0, 0, 0)),
    "uneven pads": ((4, 4), (3, 3), (2, 2), (2, 1, 1, 2)),
    "window above image": ((2, 1), (4, 3), (1, 1), (1, 1, 1, 1)),
}


@pytest.mark.parametrize("kind", ["maxpool2d", "avgpool2d"])
@pytest.mark.parametrize("case", POOLS)
def test_pools(kind, case, normal):
    extents, size, stride, pads = POOLS[case]
    names = "size_h", "size_w", "stride_h", "stride_w", "pad_top", "pad_left"
    numbers = dict(zip(names, size + stride + pads[:2], strict=True))
    P, Q = places(extents, size, stride, pads)
    x, g, analytic = apart(2, *extents, 3), normal(2, P, Q, 3), kind == "avgpool2d"

    def forward(x):
        result = reference(f"{kind}_forward", x, P=P, Q=Q, **numbers)
        return result if analytic else result[0]

    argmax = () if analytic else (reference(f"{kind}_forward", x, P=P, Q=Q, **numbers)[1],)
    dx = reference(f"{kind}_backward", g, *argmax, H=extents[0], W=extents[1], **numbers)
    assert_equal_gradients(dx, derivative(forward, x, g, analytic), analytic)


def test_global_avgpool2d(normal):
    x, g = normal(2, 3, 5, 2), normal(2, 2)
    dx = reference("global_avgpool2d_backward", g, H=3, W=5)
    assert_equal_gradients(dx, derivative(lambda x: reference("global_avgpool2d_forward", x), x, g))


def test_dense(normal):
    x, w, b, g = normal(3, 4), normal(4, 5), normal(5), normal(3, 5)
    dx = reference("dense_backward_input", g, w)
    dw, db = reference("dense_backward_weight", x, g)
    assert_equal_gradients(dx, derivative(lambda x: reference("dense_forward", x, w, b), x, g))
    assert_equal_gradients(dw, derivative(lambda w: reference("dense_forward", x, w, b), w, g))
    assert_equal_gradients(db, derivative(lambda b: reference("dense_forward", x, w, b), b, g))


# name -> (is analytic, backward reads y, numbers)
ACTIVATIONS = {
    "relu": (False, True, {}), "leaky_relu": (False, False, {"slope": 0.3}), "gelu": (False, False, {}),
    "sigmoid": (True, True, {}), "tanh": (True, True, {}),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, normal):
    analytic, reads_y, numbers = ACTIVATIONS[name]
    x, g = apart(5, 9, 13) * 2, normal(5, 9, 13)        # -5.8 .. 5.8

    def forward(x):
        return reference(f"{name}_forward", x, **numbers)

    dx = reference(f"{name}_backward", g, forward(x) if reads_y else x, **numbers)
    assert_equal_gradients(dx, derivative(forward, x, g, analytic), analytic)


def test_softmax(normal):
    x, g = 3 * normal(4, 5), normal(4, 5)
    dx = reference("softmax_backward", g, reference("softmax_forward", x))
    assert_equal_gradients(dx, derivative(lambda x: reference("softmax_forward", x), x, g))


@pytest.mark.parametrize("weights", [[1, 1, 1, 1, 1], [0.5, 2, 0, 3, 1.25]], ids=["unweighted", "class weights"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2, 1.0])
def test_softmax_cross_entropy(label_smoothing, weights, normal):
    x, labels, weights = 3 * normal(4, 5), [3, 0, 4, 4], np.array(weights, float)
    scale = 1 / weights[labels].sum()                   # the mean of the loss, as training has it
    dx = reference("softmax_cross_entropy_backward", x, labels, weights, label_smoothing=label_smoothing, scale=scale)

    def forward(x):
        return reference("softmax_cross_entropy_forward", x, labels, weights, label_smoothing=label_smoothing)

    assert_equal_gradients(dx, derivative(forward, x, np.full(4, scale)))


def test_mean_squared_error(normal):
    x, target, scale = normal(3, 4), normal(3, 4), 0.7
    dx = reference("mean_squared_error_backward", x, target, scale=scale)

    def forward(x):
        return reference("mean_squared_error_forward", x, target)

    assert_equal_gradients(dx, derivative(forward, x, np.full(3, scale)))


def batchnorm(shards, gamma, beta, eps, relu=""):
    """The whole forward pass over a list of shards, as the layer composes it; returns y, mean, var, count."""
    count = sum(x[..., 0].size for x in shards)
    parts = [(x[..., 0].size, *reference("batchnorm_statistics", x)) for x in shards]
    mean = sum(m * (own + rest) for m, own, rest, _ in parts) / count
    var = sum(squares + m * (own + rest - mean) ** 2 for m, own, rest, squares in parts) / count
    y = [reference(f"batchnorm_{relu}forward", x, mean, var, gamma, beta, eps=eps) for x in shards]
    return np.concatenate(y), mean, var, count


@pytest.mark.parametrize("relu", ["", "relu_"])
@pytest.mark.parametrize("cuts", [[], [2], [1, 1, 4]], ids=["whole", "two shards", "an empty shard"])
def test_batchnorm_through_its_statistics(cuts, relu, normal):
    x, gamma, beta, g, eps = normal(5, 2, 3, 2) + 3, normal(2), normal(2), normal(5, 2, 3, 2), 0.01
    pairs = list(zip(np.split(g, cuts), np.split(x, cuts), strict=True))
    y, mean, var, count = batchnorm(np.split(x, cuts), gamma, beta, eps, relu)
    assert not relu or (y == 0).any()
    affine = (gamma, beta) if relu else ()
    sums = [reference(f"batchnorm_{relu}backward_sums", *pair, mean, var, *affine, eps=eps) for pair in pairs]
    dgamma, dbeta = sum(s[0] for s in sums), sum(s[1] for s in sums)
    given = (mean, var, *(affine or (gamma,)), dgamma, dbeta)
    dx = np.concatenate([reference(f"batchnorm_{relu}backward_input", *pair, *given, count=count, eps=eps) for pair in pairs])
    assert_equal_gradients(dx, derivative(lambda x: batchnorm(np.split(x, cuts), gamma, beta, eps, relu)[0], x, g))
    shards = np.split(x, cuts)
    assert_equal_gradients(dgamma, derivative(lambda gamma: batchnorm(shards, gamma, beta, eps, relu)[0], gamma, g))
    assert_equal_gradients(dbeta, derivative(lambda beta: batchnorm(shards, gamma, beta, eps, relu)[0], beta, g))


def test_batchnorm_with_running_statistics(normal):
    x, g = normal(2, 3, 2, 2), normal(2, 3, 2, 2)
    mean, var, gamma, beta, zero = normal(2), np.array([0.5, 2]), normal(2), normal(2), np.zeros(2)
    dx = reference("batchnorm_backward_input", g, x, mean, var, gamma, zero, zero, count=12, eps=0.01)

    def forward(x):
        return reference("batchnorm_forward", x, mean, var, gamma, beta, eps=0.01)

    assert_equal_gradients(dx, derivative(forward, x, g))


def test_dropout(normal):
    x, g, samples = normal(3, 10), normal(3, 10), [4, 0, 9]
    numbers = {"seed": 5, "stream": 1, "epoch": 2, "rate": 0.4}
    _, mask = reference("dropout_forward", x, samples, **numbers)
    dx = reference("dropout_backward", g, mask, rate=0.4)
    assert_equal_gradients(dx, derivative(lambda x: reference("dropout_forward", x, samples, **numbers)[0], x, g))
