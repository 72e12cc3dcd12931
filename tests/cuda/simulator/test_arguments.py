"""What a kernel of the cuda column refuses, with the numbers; and what planning does."""
import numpy as np
import pytest
from cuda_cases import kernel
from numba import cuda

from minicnn.kernels.cuda_support.kernel import cuda_kernel
from minicnn.kernels.cuda_support.launch import Launch, flat, scratch
from minicnn.kernels.cuda_support.spec import KernelSpec


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


BYTES = np.zeros(4 * 9, np.uint8)


@pytest.mark.parametrize("name, args, error, message", [
    ("relu_forward", (zeros(3),), TypeError, r"takes 2 arguments \(x, y\), got 1"),
    ("relu_forward", (zeros(3), zeros(3, dtype=np.float64)), TypeError, "y must be an array of float32, got float64"),
    ("relu_forward", (zeros(3), [0, 0, 0]), TypeError, "y must be an array of float32, got list"),
    ("relu_forward", (zeros(3), zeros(4)), ValueError, r"y has shape \(4,\), x has \(3,\)"),
    ("relu_forward", (zeros(3, 4).T, zeros(4, 3)), ValueError, r"x must be C-contiguous, got strides \(4, 16\) for shape"),
    ("relu_forward", (zeros(9)[1:], zeros(8)), ValueError, "x must start at a multiple of 16 bytes, got an address of 4 more"),
    ("relu_forward", (BYTES[:16].view(np.float32), BYTES[:16].view(np.float32)), ValueError, "y shares memory with x"),
    ("relu_forward", (np.broadcast_to(np.float32(0), (2**31,)),) * 2, ValueError, "C-contiguous"),
    ("maxpool2d_backward", (zeros(1, 2, 2, 1), zeros(1, 2, 2, 1), zeros(1, 4, 4, 1), 2, 2, 2, 2, 0, 0), TypeError,
     "argmax must be an array of uint8, got float32"),
    ("avgpool2d_forward", (zeros(1, 4, 4, 1), zeros(1, 3, 2, 1), 2, 2, 2, 2, 0, 0), ValueError, "every window of a pool must"),
    ("dropout_backward", (zeros(3), zeros(3, dtype=np.uint8), zeros(3), 1.0), ValueError, r"rate must lie in \[0, 1\)"),
    ("softmax_forward", (zeros(3, 0), zeros(3, 0)), ValueError, "axis K is empty"),
])
def test_refused(name, args, error, message):
    with pytest.raises(error, match=message):
        kernel(name)(*args)
    with pytest.raises(error, match=message):
        kernel(name).plan(*args)


class Large:
    """An array of 2^31 elements that nobody has allocated."""

    shape, size, ndim, dtype = (2**31,), 2**31, 1, np.dtype(np.float32)
    flags = zeros(1).flags


def test_an_array_that_32_bits_cannot_count():
    with pytest.raises(ValueError, match="x has 2147483648 elements; the cuda column counts to 2147418112"):
        kernel("relu_forward").plan(Large(), Large())


def test_parameters_are_those_of_the_table():
    def relu_forward(y, x):
        """Another order."""
    with pytest.raises(TypeError, match=r"relu_forward must take \(x, y\)"):
        cuda_kernel(relu_forward)


def test_named_arguments(monkeypatch):
    monkeypatch.setattr(cuda, "jit", lambda function: {((1,), 32, 0, 0): lambda *args: args[1].fill(7)})
    x, y = zeros(3), zeros(3)
    kernel("relu_forward")(y=y, x=x)
    assert (y == 7).all() and (x == 0).all()


def test_a_launch_is_bound_once_and_flattens_once(monkeypatch):
    made, calls = [], []
    kernel = {((2,), 32, 0, 64): lambda *args: calls.append(args)}
    monkeypatch.setattr(cuda, "jit", lambda function: made.append(function) or kernel)
    x = zeros(3, 5)
    launch = Launch(KernelSpec(zeros, "", 32, shared_bytes=64), (2,), x, np.int32(4))
    launch()
    launch()
    assert made == [zeros] and len(calls) == 2
    assert calls[0][0] is calls[1][0] and calls[0][0].shape == (15,) and np.shares_memory(calls[0][0], x)


def test_an_empty_grid_is_not_launched(monkeypatch):
    monkeypatch.setattr(cuda, "jit", None)
    Launch(KernelSpec(zeros, "", 32), (3, 0))()


def test_memory_lies_where_the_arrays_lie():
    assert isinstance(scratch(zeros(1), 6), np.ndarray) and np.isnan(scratch(zeros(1), 6)).all()
    beside = scratch(cuda.to_device(zeros(1)), 6)
    assert not isinstance(beside, np.ndarray) and beside.shape == (6,)
    assert flat(zeros(2, 3)).shape == (6,)
