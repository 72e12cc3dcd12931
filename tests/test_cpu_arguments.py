"""What a caller may get wrong: each bad argument is a TypeError or ValueError in one line, never a wrong number or a crash.

Each case is tried on a kernel that has not run yet (the Python validator answers) and on one that has (the compiled check
sees it first), since a mistake must not depend on what ran before.
"""
import numpy as np
import pytest
from kernel_cases import build, few_shapes, run, windows

from minicnn import kernels
from minicnn.kernels import jit

CONV = windows(5, 6, 3, 2, (1, 2), 1, 0, 1, 1, N=2, C=3, K=5)
POOL = windows(6, 6, 2, 3, (2, 1), 1, 1, 0, 0, N=2, C=3)


class Sub(np.ndarray):
    """A subclass that adds nothing."""


def refused(name, args, error, pattern=None):
    """The call raises `error` with a message of one line, before and after the kernel has compiled; nothing is written."""
    kernel = kernels.function("cpu", name)
    fresh = jit.Kernel(kernel.direct.body)
    outputs = [a for a, spec in zip(args, kernels.SPECS[name].arrays, strict=False) if spec.output and isinstance(a, np.ndarray)]
    before = [a.tobytes() for a in outputs]
    kernel(*build(name, few_shapes(name)[1]))
    for called in (fresh, kernel):
        with pytest.raises(error, match=pattern) as caught:
            called(*args)
        assert str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert fresh.dispatcher is None and before == [a.tobytes() for a in outputs]


def every_array():
    return [(name, a.name) for name, spec in kernels.SPECS.items() for a in spec.arrays]


def with_argument(name, argument, change):
    """Good arguments of a kernel, but one is change(that one)."""
    args, place = build(name, few_shapes(name)[1]), kernels.SPECS[name].parameters.index(argument)
    return args[:place] + [change(args[place])] + args[place + 1:]


def with_number(name, number, value):
    return with_argument(name, number, lambda good: value)


WRONG_TYPES = [
    lambda a: a.astype(np.float64), lambda a: a.astype(np.float16), lambda a: a.astype(np.int32), lambda a: a.astype(bool),
    lambda a: a.astype(np.complex64), lambda a: a.astype(object), lambda a: a.astype("S4"), lambda a: np.zeros(a.shape, "f4,f4"),
    lambda a: np.zeros(a.shape, "M8[s]"), lambda a: np.ma.masked_array(a, np.ones(a.shape, bool)), lambda a: a.tolist(),
    lambda a: None, lambda a: "array", lambda a: a.dtype.type(1), lambda a: 2.0, lambda a: [], lambda a: memoryview(a),
    lambda a: {}, lambda a: 2**70,
]


@pytest.mark.parametrize("name, argument", every_array())
def test_arrays_of_a_wrong_type_are_a_type_error(name, argument):
    for change in WRONG_TYPES:
        with np.errstate(all="ignore"):
            args = with_argument(name, argument, change)
        refused(name, args, TypeError, f"{name}: {argument} must be ")


def test_the_error_names_the_cure():
    refused("dense_forward", with_argument("dense_forward", "w", lambda a: a.astype(float)), TypeError,
            r"dense_forward: w must be float32, got float64; convert it: w\.astype\(np\.float32\)")


@pytest.mark.parametrize("name, argument", every_array())
def test_shapes_that_do_not_fit_are_a_value_error(name, argument):
    for change in (lambda a: a[..., :-1].copy(), lambda a: np.repeat(a, 2, axis=-1), lambda a: a[None],
                   lambda a: a.reshape(-1)[:0]):
        refused(name, with_argument(name, argument, change), ValueError, name)


@pytest.mark.parametrize("name, argument", [(n, a.name) for n, s in kernels.SPECS.items() for a in s.arrays if a.axes != "*"])
def test_no_axis_but_n_may_be_empty(name, argument):
    array = next(a for a in kernels.SPECS[name].arrays if a.name == argument)
    for axis, letter in enumerate(array.axes):
        if letter != "N":
            refused(name, with_argument(name, argument, lambda a, axis=axis: np.take(a, [], axis)), ValueError, name)


WHOLE = [True, np.True_, 1.0, np.float32(1), "1", None, np.array(1), 1j, [1]]
FAR = [-1, -2**31, -2**63, -2**64, 2**63, 2**64, 2**70]


@pytest.mark.parametrize("name, number", [(name, n) for name, spec in kernels.SPECS.items() for n in spec.integers])
def test_integers(name, number):
    for value in WHOLE:
        refused(name, with_number(name, number, value), TypeError, f"{name}: {number} must be an integer")
    for value in FAR + ([] if number.startswith(("pad", "seed", "stream", "epoch")) else [0]):
        refused(name, with_number(name, number, value), ValueError, f"{name}: {number} must lie in")


@pytest.mark.parametrize("name, number", [(name, n) for name, spec in kernels.SPECS.items() for n in spec.floats])
def test_floats(name, number):
    for value in (True, "1", None, np.array(1.0), 1j, [1.0]):
        refused(name, with_number(name, number, value), TypeError, f"{name}: {number} must be a real number")
    for value in (-0.1, 1.0, 2.0, float("nan"), -float("inf")) if number == "rate" else ():
        refused(name, with_number(name, number, value), ValueError, f"{name}: rate must lie in")


@pytest.mark.parametrize("name, shape", [
    ("conv2d_forward", CONV), ("maxpool2d_forward", POOL), ("leaky_relu_forward", {"N": 2, "E": 5}),
])
def test_numbers_of_numpy_are_numbers(name, shape):
    args, n = build(name, shape), len(kernels.SPECS[name].arrays)
    kinds = [np.int8, np.uint64, np.int64, int] if kernels.SPECS[name].integers else [np.float32, np.float64, float]
    expected = run("cpu", name, args)
    for kind in kinds:
        given = run("cpu", name, args[:n] + [kind(v) for v in args[n:]])
        assert all(np.array_equal(given[k], v) for k, v in expected.items())


@pytest.mark.parametrize("name", kernels.KERNELS)
def test_number_and_names_of_arguments(name):
    args = build(name, few_shapes(name)[1])
    for wrong in ([], args[:-1], args + [1], args + [0, 0], args[:1]):
        refused(name, wrong, TypeError)
    named = dict(zip(kernels.SPECS[name].parameters, args, strict=True))
    kernels.function("cpu", name)(**named)
    expected = run("cpu", name, build(name, few_shapes(name)[1]))
    assert all(np.array_equal(named[k], v) for k, v in expected.items())
    with pytest.raises(TypeError):
        kernels.function("cpu", name)(**named, colour=1)


@pytest.mark.parametrize("name", [name for name in kernels.KERNELS if name.startswith("conv2d")])
@pytest.mark.parametrize("change", [
    {"stride_h": 2**13}, {"stride_w": 1}, {"stride_w": 2**31}, {"pad_left": 3}, {"pad_top": 4097}, {"pad_top": 2**31}])
def test_windows_that_do_not_fit(name, change):
    refused(name, build(name, CONV | change), ValueError, name)


@pytest.mark.parametrize("change, pattern", [
    ({"pad_left": 3, "Q": 8}, "every window of a pool must meet the input"), ({"size_h": 16, "size_w": 16}, "more than 255 taps"),
    ({"Q": 8}, "every window of a pool must meet the input"), ({"pad_top": 4}, "a window is missing"),
    ({"stride_h": 1}, "a window is missing"), ({"size_h": 2**31}, "must lie in"), ({"size_w": -1}, "must lie in"),
])
def test_pools_that_do_not_fit(change, pattern):
    for name in ("maxpool2d_forward", "maxpool2d_backward", "avgpool2d_forward", "avgpool2d_backward"):
        args = build(name, POOL | {letter: n for letter, n in change.items() if letter in "PQ"})
        parameters = kernels.SPECS[name].parameters
        refused(name, [change.get(n, v) for n, v in zip(parameters, args, strict=True)], ValueError, pattern)


def test_a_pool_of_256_taps():
    shape = windows(16, 16, 16, 16, N=1, C=1)
    refused("maxpool2d_forward", build("maxpool2d_forward", shape), ValueError, "16x16 has more than 255 taps")


@pytest.mark.parametrize("name", [name for name in kernels.KERNELS if name.startswith("conv2d")])
def test_a_stride_of_two_thousand_million_steps_over_nothing(name):
    """With one window a stride has no meaning, however large; and it must not cost anything."""
    for stride in ((2**31 - 1, 2**31 - 1), (5, 2**31 - 1), (2**31 - 1, 1)):
        shape = windows(4, 3, 2, 3, stride, 1, 0, 0, 0, N=2, C=2, K=3)
        exact = run("reference", name, build(name, shape))
        assert all(np.array_equal(v, exact[k]) for k, v in run("cpu", name, build(name, shape)).items())


@pytest.mark.parametrize("name", ["softmax_cross_entropy_forward", "softmax_cross_entropy_backward"])
@pytest.mark.parametrize("label", [-1, 7, 2**31, 2**32, -2**63, 2**63 - 1])
def test_labels_out_of_range(name, label):
    for place in (0, 3, 19):
        args = build(name, {"N": 20, "K": 7})
        args[1][place] = label
        refused(name, args, ValueError, f"{name}: labels lie in .*{label}.*, but there are K=7 classes")


@pytest.mark.parametrize("name", kernels.KERNELS)
def test_an_output_must_not_overlap_anything(name):
    spec = kernels.SPECS[name]
    args = build(name, few_shapes(name)[1])
    arrays = args[:len(spec.arrays)]
    for i, output in enumerate(spec.arrays):
        for j, other in enumerate(arrays):
            if not output.output or i == j:
                continue
            pool = np.zeros(arrays[i].nbytes + other.nbytes + 16, np.uint8)
            first = other.nbytes - other.itemsize                          # the last element of one is the first of the other
            first -= first % arrays[i].itemsize
            given = list(args)
            given[j] = np.ndarray(other.shape, other.dtype, pool)
            given[i] = np.ndarray(arrays[i].shape, arrays[i].dtype, pool, first)
            refused(name, given, ValueError, f"{name}: .* shares memory with ")


def test_subclasses_and_maps_of_files_work(tmp_path):
    args = build("dense_forward", {"N": 3, "C": 4, "K": 5})
    expected = run("cpu", "dense_forward", args)["y"]
    on_disk = np.memmap(tmp_path / "array", np.float32, "w+", shape=(3, 4))
    on_disk[...] = args[0]
    for x in (args[0].view(Sub), on_disk, np.memmap(tmp_path / "array", np.float32, "r", shape=(3, 4))):
        for y in (np.full((3, 5), np.nan, np.float32), np.full((3, 5), np.nan, np.float32).view(Sub)):
            kernels.function("cpu", "dense_forward")(x, *args[1:3], y)
            assert np.array_equal(y, expected)
