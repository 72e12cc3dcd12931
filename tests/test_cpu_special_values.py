"""NaN, infinities, -0 and subnormal numbers: the cpu column gives the same kind of result as the reference.

The kinds are NaN, +inf, -inf and finite (kernels/HOWTO.md, "NaN and infinity"); a diverging net must not look healthy.
"""
import numpy as np
import pytest
from kernel_cases import build, few_shapes, run

from minicnn import kernels

VALUES = [np.nan, np.inf, -np.inf, -0.0, 1e-40, 1e18]
PASSED_OVER = {         # a NaN there makes a NaN of y alone, counts as positive and lets dy through
    ("relu_backward", "y"), ("leaky_relu_backward", "x"), ("batchnorm_relu_backward_sums", "gamma"),
    ("batchnorm_relu_backward_sums", "beta"), ("batchnorm_relu_backward_input", "beta"),
}
LEFT_OPEN = {           # where a column may meet 0 * inf and another not: (kernel, argument) -> outputs
    ("conv2d_backward_input", "w"): {"dx"},                             # zeros beside dy times the weights
    ("convpool2d_backward_input", "dy"): {"dx"},        # lanes beyond a filter row; zeros that are not passed on
    ("convpool2d_backward_input", "w"): {"dx"}, ("convpool2d_backward_weight", "x"): {"dw"},
    ("adamw_update", "w"): {"m", "v"},                                  # the decay that AdamW leaves out of the gradient
}


def kind(values):
    """0 finite, 1 NaN, 2 +inf, 3 -inf, element by element, of what is left in float32."""
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    return np.select([np.isnan(values), values == np.inf, values == -np.inf], [1, 2, 3], 0)


def planted(name, shape, argument, value, seed):
    """Arguments of random numbers with one element of one input set to value."""
    args = build(name, shape, seed, integers=False)
    place = kernels.SPECS[name].parameters.index(argument)
    args[place].reshape(-1)[np.random.default_rng(seed).integers(args[place].size)] = value
    return args


@pytest.mark.parametrize("name, argument", [
    (name, a.name) for name, spec in kernels.SPECS.items() for a in spec.arrays
    if a.dtype == "float" and (a.updated or not a.output)])
def test_the_same_kind_of_result_as_the_reference(name, argument):
    met = set()
    for shape in few_shapes(name)[1:4]:
        for seed, value in enumerate(VALUES):
            args = planted(name, shape, argument, value, seed)
            with np.errstate(all="ignore"):
                exact = run("reference", name, args)
            for output, result in run("cpu", name, args).items():
                met |= set(kind(result).ravel().tolist())
                if output not in LEFT_OPEN.get((name, argument), ()):
                    what = f"{name} {shape}: {output} with {value} in {argument}"
                    assert np.array_equal(kind(result), kind(exact[output])), what
    assert (1 in met) == ((name, argument) not in PASSED_OVER)


@pytest.mark.parametrize("name", ["relu_forward", "leaky_relu_forward", "maxpool2d_forward"])
def test_nan_comes_through_comparisons(name):
    """`max(0, x)` and its like lose a NaN; these do not."""
    for shape in few_shapes(name):
        args = build(name, shape)
        args[0][...] = np.nan
        assert np.isnan(run("cpu", name, args)["y"]).all()


def test_a_nan_wins_a_pool_and_the_first_one_is_named():
    x = np.array([3, np.nan, 7, np.nan, np.inf, -np.inf], np.float32).reshape(1, 1, 6, 1)
    y, argmax = np.empty((1, 1, 1, 1), np.float32), np.empty((1, 1, 1, 1), np.uint8)
    kernels.function("cpu", "maxpool2d_forward")(x, y, argmax, 1, 6, 1, 1, 0, 0)
    assert np.isnan(y[0, 0, 0, 0]) and argmax[0, 0, 0, 0] == 1


def test_a_pad_never_wins_a_pool():
    x = np.full((1, 2, 2, 17), -np.inf, np.float32)
    y, argmax = np.zeros((1, 3, 3, 17), np.float32), np.zeros((1, 3, 3, 17), np.uint8)
    kernels.function("cpu", "maxpool2d_forward")(x, y, argmax, 2, 2, 1, 1, 1, 1)
    assert (y == -np.inf).all() and np.array_equal(argmax[0, :, :, 0], [[3, 2, 2], [1, 0, 0], [1, 0, 0]])


def test_a_logit_of_minus_infinity_at_another_class_does_no_harm():
    x, labels, weights = np.array([[1, -np.inf, 2]], np.float32), np.array([0]), np.ones(3, np.float32)
    loss, dx = np.empty(1, np.float32), np.empty((1, 3), np.float32)
    kernels.function("cpu", "softmax_cross_entropy_forward")(x, labels, weights, loss, 0.0)
    kernels.function("cpu", "softmax_cross_entropy_backward")(x, labels, weights, dx, 0.0, 1.0)
    assert np.isfinite(loss).all() and np.isfinite(dx).all() and dx[0, 1] == 0


@pytest.mark.parametrize("name", ["relu_forward", "relu_backward", "maxpool2d_forward", "avgpool2d_forward", "conv2d_forward",
                                  "dense_forward", "global_avgpool2d_forward", "global_avgpool2d_backward"])
def test_subnormal_numbers_are_not_flushed_to_zero(name):
    args = build(name, few_shapes(name)[1])
    for array, value in zip(kernels.SPECS[name].arrays, args, strict=False):
        if not array.output and array.name != "w":
            value *= np.float32(2.0**-140)
    exact = run("reference", name, args)
    for output, value in run("cpu", name, args).items():
        assert value.any() and np.array_equal(value, exact[output].astype(value.dtype))


@pytest.mark.parametrize("C", [5, 32])
def test_batchnorm_relu_takes_the_same_branch_forward_and_backward(C):
    """Where gamma xhat + beta is nearly 0, rounding decides; dy comes through exactly where y did."""
    rng = np.random.default_rng(2)
    mean, var, gamma, beta = (rng.uniform(0.5, 2, C).astype(np.float32) for _ in range(4))
    x = (mean - beta / gamma * np.sqrt(var + 1e-5) * (1 + 1e-7 * rng.integers(-4, 5, (3, 5, 7, C)))).astype(np.float32)
    y, dx, dy = np.empty_like(x), np.empty_like(x), np.ones_like(x)
    dgamma, dbeta, zero = np.empty_like(mean), np.empty_like(mean), np.zeros_like(mean)
    kernels.function("cpu", "batchnorm_relu_forward")(x, mean, var, gamma, beta, y, 1e-5)
    kernels.function("cpu", "batchnorm_relu_backward_sums")(dy, x, mean, var, gamma, beta, dgamma, dbeta, 1e-5)
    kernels.function("cpu", "batchnorm_relu_backward_input")(dy, x, mean, var, gamma, beta, zero, zero, dx, 1, 1e-5)
    assert 0.2 < (y > 0).mean() < 0.8
    assert np.array_equal(dx != 0, y > 0) and np.array_equal(dbeta, (y > 0).sum(axis=(0, 1, 2)))
