"""Every simple kernel of the cuda column in the simulator, against the reference in float64; races and strays are errors."""
import inspect
import itertools

import fastsim
import numpy as np
import pytest
from closeness import assert_close
from cuda_cases import NAMES, kernel, shapes
from kernel_bounds import bound
from kernel_cases import build, is_exact, run

from minicnn import kernels


def run_cuda(name, args, seed=0):
    """The outputs by name of one call on copies of args; inputs must stay as they are."""
    spec = kernels.SPECS[name]
    given = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    with fastsim.installed(seed):
        kernel(name)(*given)
    arrays = list(zip(spec.arrays, given[:len(spec.arrays)], strict=True))
    for (array, value), old in zip(arrays, args, strict=False):
        assert array.output or value.tobytes() == old.tobytes(), f"{name} changed its input {array.name} {value.shape}"
    return {array.name: value for array, value in arrays if array.output}


def assert_within_bound(name, args, seed=0, what=""):
    exact = run("reference", name, args)
    result = run_cuda(name, args, seed)
    bounds = bound(name, args, exact)
    for array in kernels.SPECS[name].outputs:
        if array.dtype != "float":
            assert np.array_equal(result[array.name], exact[array.name]), f"{name} {what}: {array.name}"
        else:
            c, terms = bounds[array.name]
            assert_close(result[array.name], exact[array.name], terms, c, f"{name} {what}: {array.name}")


@pytest.mark.parametrize("name", NAMES)
def test_signature_of_the_table(name):
    assert tuple(inspect.signature(kernel(name)).parameters) == kernels.SPECS[name].parameters
    assert kernel(name).__name__ == name and kernel(name).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_random_data(name):
    for seed, shape in enumerate(shapes(name)):
        assert_within_bound(name, build(name, shape, seed, integers=False), seed, shape)


@pytest.mark.parametrize("name", NAMES)
def test_integers_exactly(name):
    for seed, shape in enumerate(shapes(name)):
        if is_exact(name, shape):
            args = build(name, shape, seed)
            exact = run("reference", name, args)
            for output, value in run_cuda(name, args, seed).items():
                assert np.array_equal(value, exact[output].astype(value.dtype)), f"{name} {shape}: {output}"


@pytest.mark.parametrize("name", NAMES)
def test_some_shape_fills_several_blocks_of_each_axis(name):
    assert len(shapes(name)) >= 8
    largest = {}
    for shape in shapes(name):
        for number, launch in enumerate(kernel(name).plan(*build(name, shape))):
            grid = (*launch.grid, 1, 1)[:3]
            largest[number] = [max(pair) for pair in zip(grid, largest.get(number, (1, 1, 1)), strict=True)]
    used = {number: grid[:len(launch.grid)] for (number, grid), launch in
            zip(largest.items(), kernel(name).plan(*build(name, shapes(name)[0])), strict=True)}
    assert all(blocks >= 2 for grid in used.values() for blocks in grid), used


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_in_whatever_order_threads_run(name):
    args = build(name, shapes(name)[2], integers=False)
    first, second = (run_cuda(name, args, seed) for seed in (1, 2))
    assert all(value.tobytes() == second[output].tobytes() for output, value in first.items())


@pytest.mark.parametrize("name", NAMES)
def test_no_images(name):
    shape = shapes(name)[1] | {"N": 0}
    args = build(name, shape, integers=False)
    exact = run("reference", name, args)
    for output, value in run_cuda(name, args).items():
        assert np.array_equal(value, exact[output].astype(value.dtype)), f"{name}: {output}"


SPECIAL = np.float32([np.nan, np.inf, -np.inf, 0, -0.0, 1, -1, 1e-40, 3e38, -3e38, 100, -100])


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(
    ("relu", "leaky_relu", "sigmoid_f", "tanh_f", "gelu", "softmax_f", "maxpool2d_f", "batchnorm_f", "batchnorm_relu_f"))])
def test_special_values(name):
    """NaN and infinities are where the reference has them."""
    for seed, shape in enumerate(shapes(name)[1:4]):
        args = build(name, shape, seed, integers=False)
        rng = np.random.default_rng(seed)
        for array, value in zip(kernels.SPECS[name].arrays, args, strict=False):
            if array.name in ("x", "dy") or (array.name == "y" and not array.output):
                some = rng.random(value.shape) < 0.2
                value[some] = rng.choice(SPECIAL, np.count_nonzero(some))
        exact = run("reference", name, args)
        with np.errstate(all="ignore"):
            for output, value in run_cuda(name, args, seed).items():
                expected = exact[output].astype(value.dtype)
                if value.dtype == np.float32:
                    assert np.array_equal(np.isnan(value), np.isnan(expected)), f"{name} {shape}: {output}"
                    wide = np.isinf(value) != np.isinf(expected)
                    assert not wide.any(), f"{name} {shape}: {value[wide]} instead of {expected[wide]}"
                else:
                    assert np.array_equal(value, expected)


def test_a_stray_argmax_adds_nothing():
    for shape in shapes("maxpool2d_backward")[1:4]:
        args = build("maxpool2d_backward", shape)
        args[1][...] = np.random.default_rng(0).integers(0, 256, args[1].shape)
        exact = run("reference", "maxpool2d_backward", args)["dx"]
        assert np.array_equal(run_cuda("maxpool2d_backward", args)["dx"], exact)


@pytest.mark.parametrize("name", ["softmax_cross_entropy_forward", "softmax_cross_entropy_backward"])
def test_a_label_that_does_not_exist_makes_its_row_nan(name):
    for label in (-1, 17, 2**40, -2**63):
        args = build(name, {"N": 5, "K": 17}, integers=False)
        right = run_cuda(name, args)
        args[1][3] = label
        for output, value in run_cuda(name, args).items():
            assert np.isnan(value[3]).all() and np.array_equal(np.delete(value, 3, 0), np.delete(right[output], 3, 0))


@pytest.mark.parametrize("center, spread", [(1000, 1), (-1000, 1e-3), (1e6, 1e9)])
def test_statistics_do_not_cancel(center, spread):
    rng = np.random.default_rng(11)
    for rows, C in itertools.product((1, 7, 64), (1, 6, 17)):
        x = (center + spread * rng.standard_normal((rows, 1, 1, C))).astype(np.float32)
        assert_within_bound("batchnorm_statistics", [x, *np.full((3, C), np.nan, np.float32)])


def test_statistics_where_one_image_lies_far_off_and_one_channel_is_constant():
    x = np.random.default_rng(1).standard_normal((12, 3, 3, 5)).astype(np.float32) + np.float32(100)
    for alone in (np.s_[:1, :1, :1], np.s_[:1], np.s_[:11]):
        y = x.copy()
        y[alone] = 1e4
        y[..., 3] = 0.5
        args = [y, *np.full((3, 5), np.nan, np.float32)]
        assert_within_bound("batchnorm_statistics", args)
        assert run_cuda("batchnorm_statistics", args)["squares"][3] == 0


@pytest.mark.parametrize("name", ["relu_forward", "adam_update", "softmax_cross_entropy_backward", "maxpool2d_forward",
                                  "batchnorm_statistics", "dropout_forward"])
def test_the_blocks_that_are_used_on_a_gpu(name, monkeypatch):
    """One call with the block sizes of the real thing, in the shape that fills them best."""
    monkeypatch.undo()
    args = build(name, shapes(name)[3 if "pool" in name else 4], integers=False)
    assert_within_bound(name, args)
