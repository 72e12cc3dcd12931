"""The cpu column against the reference in float64 on random data, within the tolerances of kernels/HOWTO.md."""
import itertools

import numpy as np
import pytest
from closeness import SMALLEST, assert_close, measured
from kernel_bounds import RULES, bound
from kernel_cases import build, few_shapes, pooled_windows, run, windows

from minicnn import kernels

LARGER = {          # by family: layers of real nets, sums of some thousands of terms
    "conv2d": [windows(9, 8, 3, 3, (1, 1), 1, 1, 1, 1, N=3, C=64, K=70), windows(28, 28, 5, 5, (1, 1), 2, 2, 2, 2, N=9, C=1, K=6),
               windows(20, 21, 3, 3, (2, 2), 0, 1, 1, 0, N=4, C=3, K=32), windows(14, 14, 5, 5, N=9, C=6, K=16)],
    "convpool2d": [pooled_windows(28, 28, 5, 5, (2, 2), 2, 2, 2, 2, N=9, C=1, K=6), pooled_windows(14, 14, 5, 5, N=9, C=6, K=16),
                   pooled_windows(13, 13, 3, 3, N=3, C=32, K=64), pooled_windows(28, 28, 3, 3, N=3, C=1, K=32)],
    "pool2d": [windows(12, 13, 3, 3, (2, 2), 1, 1, 1, 1, N=3, C=20), windows(15, 17, 15, 17, N=2, C=3)],
    "dense": [{"N": 64, "C": 3136, "K": 10}, {"N": 3000, "C": 20, "K": 33}],
    "softmax": [{"N": 5, "K": 1000}],
    "loss": [{"N": 5, "K": 1000}],
    "batchnorm": [{"N": 9, "H": 28, "W": 28, "C": 32}],
    "global": [{"N": 3, "H": 30, "W": 31, "C": 20}],
    "elements": [{"*": (3, 5, 7, 11)}, {"N": 7, "E": 1003, "C": 1, "K": 1}],
}


def larger_shapes(name):
    family = kernels.COLUMNS["cpu"][name].removesuffix("_cpu")
    family = "global" if name.startswith("global") else family
    return [s for s in LARGER.get(family, LARGER["elements"]) if "*" not in s or kernels.SPECS[name].arrays[0].axes == "*"]


def assert_within_bound(name, args, scale=1.0):
    exact = run("reference", name, args)
    result = run("cpu", name, args)
    bounds = bound(name, args, exact)
    for array in kernels.SPECS[name].outputs:
        if array.dtype != "float":
            assert np.array_equal(result[array.name], exact[array.name]), f"{name}: {array.name}"
            continue
        c, terms = bounds[array.name]
        assert_close(result[array.name], exact[array.name], terms, c * scale, f"{name}: {array.name}")


def test_every_kernel_has_a_bound():
    assert set(RULES) == set(kernels.KERNELS)


@pytest.mark.parametrize("name", kernels.KERNELS)
def test_random_data(name):
    for shape, seed in itertools.product(few_shapes(name), range(4)):
        assert_within_bound(name, build(name, shape, seed, integers=False))
    for shape in larger_shapes(name):
        assert_within_bound(name, build(name, shape, 1, integers=False))


@pytest.mark.parametrize("name", kernels.KERNELS)
def test_the_bounds_are_not_a_hundred_times_too_wide(name):
    """A bound that no error comes near would hide a wrong kernel: rounding uses some of it."""
    if name in ("relu_forward", "relu_backward", "maxpool2d_forward"):
        return assert_within_bound(name, build(name, few_shapes(name)[1], 0, integers=False), scale=0)
    used = 0.0
    for shape in few_shapes(name) + larger_shapes(name):
        args = build(name, shape, 2, integers=False)
        exact, result = run("reference", name, args), run("cpu", name, args)
        for output, (c, terms) in bound(name, args, exact).items():
            used = max(used, measured(result[output], exact[output], c * (np.abs(exact[output]) if terms is None else terms)))
    assert 0.01 < used <= 1


TERMS = 131_072
SUMS = [        # kernel, outputs, shape with that many terms in each of their sums
    ("batchnorm_statistics", ["mean", "squares"], {"N": 2, "H": 256, "W": 256, "C": 17}),
    ("batchnorm_backward_sums", ["dgamma", "dbeta"], {"N": 2, "H": 256, "W": 256, "C": 17}),
    ("batchnorm_relu_backward_sums", ["dgamma", "dbeta"], {"N": 2, "H": 256, "W": 256, "C": 17}),
    ("global_avgpool2d_forward", ["y"], {"N": 1, "H": 512, "W": 256, "C": 17}),
    ("conv2d_backward_weight", ["db"], windows(256, 256, 1, 1, N=2, C=1, K=17)),
    ("dense_backward_weight", ["db"], {"N": TERMS, "C": 1, "K": 17}),
]


@pytest.mark.parametrize("name, outputs, shape", SUMS)
def test_sums_of_one_sign_over_131072_terms(name, outputs, shape):
    """All terms positive, so that rounding errors add up the most; a single running sum would be far beyond c = 16."""
    args = build(name, shape, 0, integers=False)
    for array, value in zip(kernels.SPECS[name].arrays, args, strict=False):
        if not array.output:
            value[...] = 0 if array.name == "mean" else np.random.default_rng(5).uniform(0, 1, value.shape)
    exact, result = run("reference", name, args), run("cpu", name, args)
    for output in outputs:
        assert_close(result[output], exact[output], None, 16, f"{name}: {output}")


def test_one_running_sum_would_break_the_bound_of_131072_terms():
    values = np.random.default_rng(5).uniform(0, 1, (1, TERMS)).astype(np.float32)
    running = np.cumsum(values, axis=1, dtype=np.float32)[:, -1]
    with pytest.raises(AssertionError, match="too far off"):
        assert_close(running, values.sum(axis=1, dtype=np.float64), None, 16)


@pytest.mark.parametrize("name", ["softmax_forward", "softmax_cross_entropy_forward", "softmax_cross_entropy_backward"])
@pytest.mark.parametrize("spread, shift", [(1e-3, 0), (10, 0), (30, 0), (1, -1000), (1, 1000), (30, -4000)])
def test_logits_near_and_far_apart(name, spread, shift):
    """Far from zero, too: a tail of lanes that loads as 0 must not become the maximum of a row of -1,000."""
    args = build(name, {"N": 20, "K": 37}, 3, integers=False)
    args[0][...] = args[0] * np.float32(spread) + np.float32(shift)
    assert_within_bound(name, args)


LINE = np.concatenate([np.linspace(-87, 100, 5001), np.linspace(-4, 4, 5001), np.geomspace(1e-38, 1e38, 777),
                       -np.geomspace(1e-38, 80, 777)]).astype(np.float32)[None]
FAR_LEFT = -np.geomspace(87.4, 3e38, 999).astype(np.float32)[None]


@pytest.mark.parametrize("name", ["sigmoid_forward", "tanh_forward", "gelu_forward", "gelu_backward"])
def test_activations_over_the_whole_line(name):
    for x in (LINE, FAR_LEFT) if name != "sigmoid_forward" else (LINE,):
        args = [x if a.name == "x" else np.full_like(x, np.nan if a.output else 1.5) for a in kernels.SPECS[name].arrays]
        with np.errstate(over="ignore", invalid="ignore"):
            assert_within_bound(name, args)


def test_sigmoid_below_the_normal_numbers_is_one_of_them_or_zero():
    y = run("cpu", "sigmoid_forward", [FAR_LEFT, np.full_like(FAR_LEFT, np.nan)])["y"]
    assert ((0 <= y) & (y < SMALLEST)).all()


@pytest.mark.parametrize("center, spread", [(0, 1), (1000, 1), (-1000, 1e-3), (1e-15, 1e-17), (1e6, 1e9)])
def test_statistics_do_not_cancel(center, spread):
    """Means far from 0, at every width and number of rows around the blocks; the bound of the squares knows no mean."""
    rng = np.random.default_rng(11)
    for rows, C in [(r, c) for c in (1, 3, 6, 16, 17, 64) for r in (1, 2, 7, 8, 9, 63, 64, 65, 127, 129, 300)] + [(20_000, 2)]:
        x = (center + spread * rng.standard_normal((rows, 1, 1, C))).astype(np.float32)
        assert_within_bound("batchnorm_statistics", [x, *np.full((3, C), np.nan, np.float32)])


@pytest.mark.parametrize("first", [1e4, 0])
def test_statistics_of_blocks_that_lie_apart(first):
    """A first row, or a first image, far from all others; then a channel that is the same everywhere, whose squares are 0."""
    x = np.random.default_rng(1).standard_normal((40, 5, 5, 33)).astype(np.float32) + np.float32(100)
    for alone in (np.s_[:1, :1, :1], np.s_[:1], np.s_[:11]):
        y = x.copy()
        y[alone] = first
        args = [y, *np.full((3, 33), np.nan, np.float32)]
        y[..., 7] = 0.5
        assert_within_bound("batchnorm_statistics", args)
        assert run("cpu", "batchnorm_statistics", args)["squares"][7] == 0
