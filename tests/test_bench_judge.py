"""The lab's judge: right kernels pass, every kind of wrong one is found and named with its place."""
import numpy as np
import pytest

from minicnn.kernels import SPECS, function
from minicnn.lab import arguments, bounds, correct, problems, slices, suite
from minicnn.lab.operations import KERNELS

CONV = function("reference", "conv2d_forward")
PROBLEM = problems.parse("mb7ic3ih9oc5kh3ph1", "conv2d_forward")


def small(kernel):
    keys = problems.keys(kernel).split()
    text = {"ih": "ih6iw5", "oc": "oc10", "kh": "kh2"}
    text = "ic17" + "".join(word for key, word in text.items() if key in keys)
    return problems.parse(("mb5" if "mb" in keys else "") + text + ("sh2ph1" if "ph" in keys else ""), kernel)


@pytest.mark.parametrize("kernel", KERNELS)
def test_both_columns_pass(kernel, monkeypatch):
    monkeypatch.setattr(correct, "ELEMENTS", 1200)          # so that the reference computes some of the images only
    for column in ("reference", "cpu"):
        found = correct.judge(kernel, function(column, kernel), small(kernel))
        assert found.ok and found.why is None and found.max_error < 1e-6, (column, found)


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_error_of_one_percent_in_one_place_is_found(kernel):
    """In the last place of the last output: of the last image, which the first look at two images does not see."""
    reference, outputs = function("reference", kernel), [k for k, a in enumerate(SPECS[kernel].arrays) if a.output]

    def wrong(*args):
        reference(*args)
        last = args[outputs[-1]].reshape(-1)
        if len(args[0]) > 2 or kernel.endswith("_update"):
            last[-1] = last[-1] + 1 if last.dtype == np.uint8 else np.float32(1.01) * last[-1] + np.float32(1e-3)

    found = correct.judge(kernel, wrong, small(kernel))
    assert not found.ok and SPECS[kernel].arrays[outputs[-1]].name + "[" in found.why, found


def judged(change):
    def kernel(x, w, b, y, *numbers):
        change(x, w, b, y, lambda out=y: CONV(x, w, b, out, *numbers))
    return correct.judge("conv2d_forward", kernel, PROBLEM)


def test_the_first_wrong_place_and_both_values():
    def change(x, w, b, y, compute):
        compute()
        y[1, 2, 3, 4:] += 7
        y[1, 2, 4] += 7
    found = judged(change)
    y = arguments.build(PROBLEM.with_batch(2), integers=True)
    CONV(*y)
    right = y[3][1, 2, 3, 4]
    assert not found.ok and found.max_error == np.inf
    assert found.why == (f"y[1, 2, 3, 4] is {right + 7:.9g}, right is {right:.9g} (6 of 810 values are wrong; whole numbers)")


def test_a_place_that_was_never_written():
    def change(x, w, b, y, compute):
        other = np.empty_like(y)
        compute(other)
        y[:, :-1] = other[:, :-1]
    assert "y[0, 8, 0, 0] is NaN, as before the call: never written" in judged(change).why


def test_an_input_that_was_changed():
    def change(x, w, b, y, compute):
        compute()
        w[1, 2, 0, 3] = 99
    assert "changed its input w at [1, 2, 0, 3]: 99.0 was" in judged(change).why


def test_a_write_behind_the_output():
    def change(x, w, b, y, compute):
        compute()
        np.lib.stride_tricks.as_strided(y, (y.size + 1,), (4,))[-1] = 0
    assert judged(change).why == "it wrote outside of y (2, 9, 9, 5)"


def test_a_kernel_that_returns_its_result():
    def returns(x, w, b, y, *numbers):
        return np.zeros_like(y)
    assert "writes into its outputs and returns nothing" in correct.judge("conv2d_forward", returns, PROBLEM).why


def test_an_image_that_a_sum_leaves_out(monkeypatch):
    """The reference computes two of seven images; the last one is among them, the others are silent."""
    monkeypatch.setattr(correct, "ELEMENTS", 2 * 9 * 9 * 5)
    problem, reference = problems.parse(PROBLEM.text, "conv2d_backward_weight"), function("reference", "conv2d_backward_weight")

    def forgets_the_last(x, dy, dw, db, *numbers):
        reference(x[:6], dy[:6], dw, db, *numbers)
    found = correct.judge(problem.kernel, forgets_the_last, problem)
    assert not found.ok and found.why.startswith("dw[0, 0, 0, 0] is ")


def test_rounding_more_passes_with_a_remark_for_sums_of_products_only():
    def rounder(x, w, b, y, compute):
        compute()
        y *= np.float32(1 + 2e-6)
    found = judged(rounder)
    assert found.ok and found.why == "not exact, but within 48 eps"

    def rounded_relu(x, y):
        y[...] = np.maximum(x, 0) * np.float32(1 + 1e-6)
    assert not correct.judge("relu_forward", rounded_relu, small("relu_forward")).ok


def test_too_much_rounding_is_wrong():
    def rounder(x, w, b, y, compute):
        compute()
        y *= np.float32(1 + 2e-5)
    assert not judged(rounder).ok


def test_shapes_as_the_walk_over_a_net_gives_them():
    assert correct.judge("relu_forward", function("cpu", "relu_forward"), {"*": (3, 5)}).ok
    shape = {"N": 3, "H": 4, "W": 4, "C": 2, "P": 2, "Q": 2, "size_h": 2, "size_w": 2, "stride_h": 2, "stride_w": 2, "pad_top": 0,
             "pad_left": 0}
    assert correct.judge("avgpool2d_forward", function("cpu", "avgpool2d_forward"), shape).ok


def test_what_a_kernel_raises_comes_through():
    def raises(*args):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        correct.judge("relu_forward", raises, small("relu_forward"))


@pytest.mark.parametrize("kernel", [kernel for kernel in KERNELS
                                    if not kernel.endswith("_update") and kernel not in ("accumulate", "batchnorm_statistics")])
@pytest.mark.parametrize("threads", [2, 3])
def test_slices_compute_the_same(kernel, threads):
    problem = small(kernel)
    one, other = arguments.build(problem, integers=True), arguments.build(problem, integers=True)
    function("cpu", kernel)(*one)
    call, used = slices.bind(SPECS[kernel], function("cpu", kernel), other, threads)
    call()
    call()                      # sums begin anew
    assert used == threads
    for array, a, b in zip(SPECS[kernel].arrays, one, other, strict=False):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=array.name)


def test_an_error_in_a_slice_is_told_of_when_all_have_ended():
    def raises(x, y):
        raise ValueError(len(x))
    call, _ = slices.bind(SPECS["relu_forward"], raises, [np.zeros((5, 2)), np.zeros((5, 2))], 2)
    with pytest.raises(ValueError, match="2"):
        call()


def test_the_seed_chooses_the_data():
    seen = []

    def notes(x, y):
        seen.append(x.sum())
        y[...] = np.maximum(x, 0)
    for seed in (1, 1, 2):
        assert correct.judge("relu_forward", notes, small("relu_forward"), seed=seed).ok
    a, b, c = np.array_split(seen, 3)
    assert (a == b).all() and (a != c).all()


def test_exactness_and_bounds_name_every_kernel():
    for kernel in KERNELS:
        problem = small(kernel)
        args = [v.astype(np.float64) if getattr(v, "dtype", None) == np.float32 else v for v in arguments.build(problem)]
        exact = correct._reference(kernel, args)
        found = bounds.bounds(kernel, args, exact, lambda given, k=kernel: correct._reference(k, given))
        floats = {a.name for a in SPECS[kernel].outputs if a.dtype == "float"}
        assert floats <= found.keys() and all((terms >= 0).all() for _, terms in found.values())
    assert bounds.is_exact("avgpool2d_forward", {"size_h": 2, "size_w": 2})
    assert not bounds.is_exact("avgpool2d_forward", {"size_h": 3, "size_w": 2})


def test_an_array_between_margins():
    array = arguments.guarded((3, 5), np.float32)
    assert array.ctypes.data % 64 == 0 and array.shape == (3, 5) and arguments.margins_are_untouched(array)
    np.lib.stride_tricks.as_strided(array, (17,), (4,))[-1] = 1
    assert not arguments.margins_are_untouched(array)


def test_every_tap_lies_on_the_image():
    problem = problems.parse("mb3ic2ih5iw4kh3sh2ph2", "maxpool2d_backward")
    argmax, s = arguments.build(problem)[1], problem.shape
    rows, cols = argmax // 3, argmax % 3
    h = np.arange(s["P"])[:, None, None] * 2 + rows - 2
    i = np.arange(s["Q"])[:, None] * 2 + cols - 2
    assert (0 <= h).all() and (h < 5).all() and (0 <= i).all() and (i < 4).all()


def test_the_usual_problems_are_of_some_size():
    assert min(suite.usual(kernel).batch or 32 for kernel in KERNELS) >= 32
