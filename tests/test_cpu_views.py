"""Views of arrays as arguments: whatever their strides, a kernel gives what it gives on plain copies, or refuses.

Compiled for plain arrays, a kernel that took a strided, reversed, transposed, broadcast, misaligned or byte-swapped one for
plain would read the wrong memory. Inputs may be any view; outputs must be plain, and no byte beside them may change.
"""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import build, run, windows

from minicnn import kernels

SHAPES = {
    "conv2d_forward": windows(5, 4, 2, 3, (2, 1), 1, 1, 0, 1, N=2, C=3, K=4),
    "conv2d_backward_weight": windows(4, 4, 2, 2, (1, 1), N=2, C=3, K=2),
    "maxpool2d_backward": windows(4, 4, 2, 2, (2, 1), N=2, C=3),
    "dense_forward": {"N": 3, "C": 4, "K": 5},
    "relu_backward": {"N": 3, "E": 6},
    "dropout_forward": {"N": 3, "E": 6},
    "softmax_cross_entropy_forward": {"N": 3, "K": 6},
    "batchnorm_forward": {"N": 2, "H": 2, "W": 3, "C": 4},
    "sgd_update": {"N": 3, "E": 6},
    "global_avgpool2d_forward": {"N": 2, "H": 3, "W": 2, "C": 5},
}


def reversed_(a, axis):
    return np.flip(np.array(np.flip(a, axis), order="C"), axis)


def every_other(a, axis):
    return np.repeat(a, 2, axis)[(slice(None),) * axis + (slice(None, None, 2),)]


def inside(a, axis):
    """A window into a larger array."""
    return np.pad(a, [(1, 2) if i == axis else (0, 0) for i in range(a.ndim)])[
        tuple(slice(1, 1 + n) if i == axis else slice(None) for i, n in enumerate(a.shape))]


def column_order(a, axis):
    return np.array(a, order="F")


def swapped_axes(a, axis):
    return np.array(np.swapaxes(a, axis, 0), order="C").swapaxes(axis, 0)


def off_by_a_byte(a, axis):
    bytes_ = np.empty(a.nbytes + 16, np.uint8)
    b = bytes_[1 + axis:1 + axis + a.nbytes].view(a.dtype).reshape(a.shape)
    b[...] = a
    return b


def other_bytes(a, axis):
    return a.astype(a.dtype.newbyteorder())


def unwritable(a, axis):
    b = a.copy()
    b.flags.writeable = False
    return b


def of_a_record(a, axis):
    records = np.zeros(a.shape, [("x", "u1"), ("a", a.dtype), ("y", "f8")])
    records["a"] = a
    return records["a"]


VIEWS = [reversed_, every_other, inside, column_order, swapped_axes, off_by_a_byte, other_bytes, unwritable, of_a_record]


def is_plain(a):
    return a.flags.c_contiguous and a.flags.aligned and a.dtype.isnative


@settings(max_examples=120)
@pytest.mark.parametrize("name", SHAPES)
@given(data=st.data())
def test_views_of_inputs_give_the_same_result(name, data):
    spec, args = kernels.SPECS[name], build(name, SHAPES[name])
    expected = run("cpu", name, args)
    given_ = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    for i, array in enumerate(spec.arrays):
        for view in data.draw(st.lists(st.sampled_from(VIEWS), max_size=2), label=array.name) if not array.output else ():
            given_[i] = view(given_[i], data.draw(st.integers(0, args[i].ndim - 1)))
            assert np.array_equal(given_[i], args[i])
    before = [a.tobytes() for a in given_[:len(spec.arrays)]]
    kernels.function("cpu", name)(*given_)
    for array, value, old in zip(spec.arrays, given_, before, strict=False):
        assert np.array_equal(value, expected[array.name]) if array.output else value.tobytes() == old


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("view", VIEWS, ids=lambda f: f.__name__)
def test_views_as_outputs_are_right_or_refused_and_untouched(name, view):
    spec, args = kernels.SPECS[name], build(name, SHAPES[name])
    expected, kernel = run("cpu", name, args), kernels.function("cpu", name)
    for i, array in enumerate(spec.arrays):
        for axis in range(args[i].ndim) if array.output else ():
            given_ = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
            given_[i] = view(args[i], axis)
            if is_plain(given_[i]) and given_[i].flags.writeable:
                kernel(*given_)
                assert np.array_equal(given_[i], expected[array.name])
                continue
            before = given_[i].tobytes()
            with pytest.raises(ValueError, match=f"{name}: {array.name} is written in place"):
                kernel(*given_)
            assert given_[i].tobytes() == before


@pytest.mark.parametrize("name", SHAPES)
def test_broadcast_views(name):
    """One value seen as a whole array: read as such; never written to."""
    spec, args = kernels.SPECS[name], build(name, SHAPES[name])
    for i, array in enumerate(spec.arrays):
        given_ = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        one = np.ones(1, args[i].dtype)
        given_[i] = np.lib.stride_tricks.as_strided(one, args[i].shape, (0,) * args[i].ndim)
        if array.output:
            with pytest.raises(ValueError, match="is written in place"):
                kernels.function("cpu", name)(*given_)
            assert one == 1
        else:
            plain = given_[:i] + [np.ascontiguousarray(given_[i])] + given_[i + 1:]
            expected = run("cpu", name, plain)
            assert all(np.array_equal(v, expected[k]) for k, v in run("cpu", name, given_).items())


@pytest.mark.parametrize("name", SHAPES)
def test_axes_of_one_may_have_any_stride(name):
    """NumPy calls an array contiguous whatever the strides of its axes of extent 1: the kernels must not use them."""
    shape = {k: 1 if k in ("N", "H", "W", "R", "S", "P", "Q", "size_h", "size_w", "C") else v for k, v in SHAPES[name].items()}
    shape |= {k: 0 for k in shape if k.startswith("pad")}
    spec, args = kernels.SPECS[name], build(name, shape)
    expected = run("cpu", name, args)
    given_ = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    for i in range(len(spec.arrays)):
        strides = [2**40 + 8 if n == 1 else step for n, step in zip(given_[i].shape, given_[i].strides, strict=True)]
        given_[i] = np.lib.stride_tricks.as_strided(given_[i], given_[i].shape, strides)
        assert is_plain(given_[i])
    kernels.function("cpu", name)(*given_)
    for array, value in zip(spec.arrays, given_, strict=False):
        assert not array.output or np.array_equal(value, expected[array.name])


def test_an_array_is_not_taken_for_one_seen_before():
    """Numba remembers a misaligned array by a fingerprint that one of swapped bytes shares."""
    args = build("dense_forward", {"N": 3, "C": 4, "K": 5})
    expected = run("cpu", "dense_forward", args)["y"]
    for view in (off_by_a_byte, other_bytes, of_a_record, other_bytes, unwritable, column_order):
        y = np.full_like(expected, np.nan)
        kernels.function("cpu", "dense_forward")(view(args[0], 0), args[1], view(args[2], 0), y)
        assert np.array_equal(y, expected)
        for given_ in (view(expected * np.nan, 0), view(expected * np.nan, 1)):
            with pytest.raises(ValueError, match="y is written in place"):
                kernels.function("cpu", "dense_forward")(*args[:3], given_)
            assert np.isnan(given_).all()


def test_one_array_may_be_two_inputs():
    values = np.arange(-6, 6, dtype=np.float32).reshape(3, 4)
    dx = np.full_like(values, np.nan)
    kernels.function("cpu", "relu_backward")(values, values, dx)
    assert np.array_equal(dx, np.maximum(values, 0))
