"""The reference of a convolution under a max pool: its forward is the layers one by one, its backward is their calculus."""
import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference_call import reference
from test_reference_calculus import apart, assert_equal_gradients, derivative

from minicnn import kernels

# (H, W), (R, S), size of the pool's window, (top, left, bottom, right) pads
CASES = {
    "plain": ((6, 7), (3, 3), (2, 2), (0, 0, 0, 0)),
    "same": ((4, 6), (3, 3), (2, 2), (1, 1, 1, 1)),
    "rows and columns left over": ((6, 6), (2, 2), (2, 3), (0, 0, 0, 0)),
    "uneven pads and windows": ((4, 5), (2, 3), (3, 1), (2, 0, 1, 1)),
    "windows of one": ((3, 3), (2, 2), (1, 1), (0, 0, 0, 0)),
}


def call(case):
    extents, taps, size, pads = CASES[case]
    places = {axis: (extents[i] + pads[i] + pads[i + 2] - taps[i] + 1) // size[i] for i, axis in enumerate("PQ")}
    numbers = dict(zip(("size_h", "size_w", "pad_top", "pad_left"), size + pads[:2], strict=True))
    rng = np.random.default_rng(3)
    x, w, b = apart(2, *extents, 3), rng.standard_normal((*taps, 3, 4)), rng.standard_normal(4) / 10
    return x, w, b, rng.standard_normal((2, places["P"], places["Q"], 4)), numbers, places, pads


@pytest.mark.parametrize("case", CASES)
def test_forward_is_convolution_relu_and_pool(case):
    x, w, b, _, numbers, places, pads = call(case)
    rows, columns = places["P"] * numbers["size_h"], places["Q"] * numbers["size_w"]
    stride = dict(stride_h=1, stride_w=1, pad_top=numbers["pad_top"], pad_left=numbers["pad_left"])
    extents = (x.shape[1] + pads[0] + pads[2] - w.shape[0] + 1, x.shape[2] + pads[1] + pads[3] - w.shape[1] + 1)
    z = reference("conv2d_forward", x, w, b, P=extents[0], Q=extents[1], **stride)
    together = reference("conv2d_relu_forward", x, w, b, P=extents[0], Q=extents[1], **stride)
    assert np.array_equal(together, reference("relu_forward", z)) and (z < 0).any()
    window = dict(size_h=numbers["size_h"], size_w=numbers["size_w"], stride_h=numbers["size_h"], stride_w=numbers["size_w"],
                  pad_top=0, pad_left=0)
    pooled, argmax = reference("maxpool2d_forward", together[:, :rows, :columns], **places, **window)
    y, winners = reference("convpool2d_forward", x, w, b, **places, **numbers)
    assert_allclose(y, pooled, rtol=1e-13, atol=1e-13)
    assert np.array_equal(winners, np.where(pooled > 0, argmax, 255))


@pytest.mark.parametrize("case", CASES)
def test_backward_is_the_derivative_of_forward(case):
    x, w, b, g, numbers, places, _ = call(case)

    def forward(x, w, b):
        return reference("convpool2d_forward", x, w, b, **places, **numbers)[0]

    argmax = reference("convpool2d_forward", x, w, b, **places, **numbers)[1]
    dx = reference("convpool2d_backward_input", g, argmax, w, H=x.shape[1], W=x.shape[2], **numbers)
    dw, db = reference("convpool2d_backward_weight", x, g, argmax, R=w.shape[0], S=w.shape[1], **numbers)
    assert_equal_gradients(dx, derivative(lambda v: forward(v, w, b), x, g, analytic=False), analytic=False)
    assert_equal_gradients(dw, derivative(lambda v: forward(x, v, b), w, g, analytic=False), analytic=False)
    assert_equal_gradients(db, derivative(lambda v: forward(x, w, v), b, g, analytic=False), analytic=False)


@pytest.mark.parametrize("column", kernels.COLUMNS)
def test_by_hand(column):
    """One row of four pixels, a filter of one tap: z = 2 x - 1 is -1, 3, 3, -5; windows of two."""
    dtype = np.float32 if column == "cpu" else np.float64
    x = np.array([0, 2, 2, -2], dtype).reshape(1, 1, 4, 1)
    w, b, dy = np.full((1, 1, 1, 1), 2, dtype), np.array([-1], dtype), np.array([10, 100], dtype).reshape(1, 1, 2, 1)
    y, argmax = np.empty((1, 1, 2, 1), dtype), np.empty((1, 1, 2, 1), np.uint8)
    dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty_like(b)
    kernels.function(column, "convpool2d_forward")(x, w, b, y, argmax, 1, 2, 0, 0)
    assert y.ravel().tolist() == [3, 3] and argmax.ravel().tolist() == [1, 0]
    kernels.function(column, "convpool2d_backward_input")(dy, argmax, w, dx, 1, 2, 0, 0)
    kernels.function(column, "convpool2d_backward_weight")(x, dy, argmax, dw, db, 1, 2, 0, 0)
    assert dx.ravel().tolist() == [0, 20, 200, 0]               # winners are pixels 1 and 2, dy times the weight
    assert dw.item() == 10 * 2 + 100 * 2 and db.item() == 110


@pytest.mark.parametrize("column", kernels.COLUMNS)
def test_nan_wins_and_a_window_below_zero_passes_nothing(column):
    dtype = np.float32 if column == "cpu" else np.float64
    x = np.array([-1, -2, 5, np.nan, np.nan, 7], dtype).reshape(1, 1, 6, 1)
    y, argmax = np.empty((1, 1, 3, 1), dtype), np.empty((1, 1, 3, 1), np.uint8)
    one, zero = np.ones((1, 1, 1, 1), dtype), np.zeros(1, dtype)
    kernels.function(column, "convpool2d_forward")(x, one, zero, y, argmax, 1, 2, 0, 0)
    assert np.array_equal(y.ravel(), [0, np.nan, np.nan], equal_nan=True) and argmax.ravel().tolist() == [255, 1, 0]
    dx, dy = np.empty_like(x), np.ones_like(y)
    kernels.function(column, "convpool2d_backward_input")(dy, argmax, one, dx, 1, 2, 0, 0)
    assert dx.ravel().tolist() == [0, 0, 0, 1, 1, 0]
