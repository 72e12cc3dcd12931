"""The reference column against numbers worked by hand: convolution, pools, dense, activations, softmax, losses."""
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference_call import reference

LN2, LN3, LN5 = math.log(2), math.log(3), math.log(5)
UNIT = {"stride_h": 1, "stride_w": 1, "pad_top": 0, "pad_left": 0}


def image(rows):
    """One image of one channel, (1, H, W, 1)."""
    return np.array(rows, float)[None, :, :, None]


def filter_(rows):
    """One filter on one channel, (R, S, 1, 1)."""
    return np.array(rows, float)[:, :, None, None]


#     x = 1 2 3     w = 1 2     dy =  1 -1
#         4 5 6         3 4           2  0
#         7 8 9
X, W, DY = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]]), filter_([[1, 2], [3, 4]]), image([[1, -1], [2, 0]])


def test_conv2d_forward():
    # y00 = 1*1 + 2*2 + 4*3 + 5*4 = 37, and one step right adds 1 + 2 + 3 + 4 = 10, one step down 3 times that; b = 100
    y = reference("conv2d_forward", X, W, [100.0], P=2, Q=2, **UNIT)
    assert_array_equal(y, image([[137, 147], [167, 177]]))


def test_conv2d_backward_input():
    # each dy spreads w over the 2x2 pixels it came from:
    #   1 * 1 2 .    -1 * . 1 2    2 * . . .     1   2-1      -2        1  1 -2
    #       3 4 .         . 3 4        1 2 .  =  3+2 4-3+4    -4     =  5  5 -4
    #       . . .         . . .        3 4 .     6   8         0        6  8  0
    dx = reference("conv2d_backward_input", DY, W, H=3, W=3, **UNIT)
    assert_array_equal(dx, image([[1, 1, -2], [5, 5, -4], [6, 8, 0]]))


def test_conv2d_backward_weight():
    # dw00 = 1*x00 - 1*x01 + 2*x10 = 1 - 2 + 8 = 7; one step right adds 1 - 1 + 2 = 2 , one step down 3 times that
    dw, db = reference("conv2d_backward_weight", X, DY, R=2, S=2, **UNIT)
    assert_array_equal(dw, filter_([[7, 9], [13, 15]]))
    assert_array_equal(db, [2])


def test_conv2d_stride_and_uneven_pads():
    # x = 1 2 3 4 with 2 zeros before and 1 behind; w = 1 10 100 steps by 2:
    #   0 0 1 2 3 4 0     y0 = 0 + 0 + 100     y1 = 1 + 20 + 300     y2 = 3 + 40 + 0
    numbers = {"stride_h": 1, "stride_w": 2, "pad_top": 0, "pad_left": 2}
    x, w, dy = image([[1, 2, 3, 4]]), filter_([[1, 10, 100]]), image([[1, 2, 3]])
    assert_array_equal(reference("conv2d_forward", x, w, [0.0], P=1, Q=3, **numbers), image([[100, 321, 43]]))
    # dx0 = dy0 w2 + dy1 w0 = 100 + 2, dx1 = dy1 w1 = 20, dx2 = dy1 w2 + dy2 w0 = 200 + 3, dx3 = dy2 w1 = 30
    assert_array_equal(reference("conv2d_backward_input", dy, w, H=1, W=4, **numbers), image([[102, 20, 203, 30]]))
    # dw0 = dy1 x0 + dy2 x2 = 2 + 9, dw1 = dy1 x1 + dy2 x3 = 4 + 12, dw2 = dy0 x0 + dy1 x2 = 1 + 6
    dw, db = reference("conv2d_backward_weight", x, dy, R=1, S=3, **numbers)
    assert_array_equal(dw, filter_([[11, 16, 7]]))
    assert_array_equal(db, [6])


def test_conv2d_rows_that_no_window_reaches():
    # stride 2 over 1 2 3 4 with a window of 1 meets 1 and 3 only; 2 and 4 get no gradient
    numbers = UNIT | {"stride_w": 2}
    x, w, dy = image([[1, 2, 3, 4]]), filter_([[5]]), image([[1, 2]])
    assert_array_equal(reference("conv2d_forward", x, w, [0.0], P=1, Q=2, **numbers), image([[5, 15]]))
    assert_array_equal(reference("conv2d_backward_input", dy, w, H=1, W=4, **numbers), image([[5, 0, 10, 0]]))


def test_conv2d_mixes_channels():
    # one pixel with channels (1, 2): y0 = 1*3 + 2*5 + 10, y1 = 1*4 + 2*6 + 20
    x, w = np.array([1.0, 2]).reshape(1, 1, 1, 2), np.array([[3.0, 4], [5, 6]]).reshape(1, 1, 2, 2)
    assert_array_equal(reference("conv2d_forward", x, w, [10.0, 20], P=1, Q=1, **UNIT).ravel(), [23, 36])


def test_dense():
    # x = 1 2   w = 3 4   y = 1*3 + 2*5 + 10, 1*4 + 2*6 + 20;  dy = 1 -1:  dx = 3 - 4, 5 - 6;  dw = x_c dy_k
    x, w, dy = [[1.0, 2]], [[3.0, 4], [5, 6]], [[1.0, -1]]
    assert_array_equal(reference("dense_forward", x, w, [10.0, 20]), [[23, 36]])
    assert_array_equal(reference("dense_backward_input", dy, w), [[-1, -1]])
    dw, db = reference("dense_backward_weight", x, dy)
    assert_array_equal(dw, [[1, -1], [2, -2]])
    assert_array_equal(db, [1, -1])


def window(size, stride, pad=(0, 0)):
    names = "size_h", "size_w", "stride_h", "stride_w", "pad_top", "pad_left"
    return dict(zip(names, size + stride + pad, strict=True))


def test_maxpool2d_ties_and_nan():
    #   1 5 | 5 2      left: 5 stands at (0, 1) and (1, 0), the first wins, argmax 0*2 + 1
    #   5 0 | 7 nan    right: NaN beats 7, argmax 1*2 + 1
    numbers = window((2, 2), (2, 2))
    y, argmax = reference("maxpool2d_forward", image([[1, 5, 5, 2], [5, 0, 7, np.nan]]), P=1, Q=2, **numbers)
    assert_array_equal(y, image([[5, np.nan]]))
    assert_array_equal(argmax.ravel(), [1, 3])
    dx = reference("maxpool2d_backward", image([[10, 20]]), argmax, H=2, W=4, **numbers)
    assert_array_equal(dx, image([[0, 10, 0, 0], [0, 0, 0, 20]]))


def test_maxpool2d_first_nan_wins():
    _, argmax = reference("maxpool2d_forward", image([[3, np.nan, 9, np.nan]]), P=1, Q=1, **window((1, 4), (1, 1)))
    assert argmax.item() == 1


def test_maxpool2d_pads_never_win():
    # -3 -1 with a pad on each side: (pad -3), (-3 -1), (-1 pad); both windows of -1 send it their gradient
    numbers = window((1, 2), (1, 1), (0, 1))
    y, argmax = reference("maxpool2d_forward", image([[-3, -1]]), P=1, Q=3, **numbers)
    assert_array_equal(y, image([[-3, -1, -1]]))
    assert_array_equal(argmax.ravel(), [1, 1, 0])
    dx = reference("maxpool2d_backward", image([[1, 2, 4]]), argmax, H=1, W=2, **numbers)
    assert_array_equal(dx, image([[1, 6]]))
    y, argmax = reference("maxpool2d_forward", image([[-np.inf, -np.inf]]), P=1, Q=3, **numbers)
    assert_array_equal(y, image([[-np.inf] * 3]))
    assert_array_equal(argmax.ravel(), [1, 0, 0])


def test_maxpool2d_backward_ignores_what_names_no_pixel():
    # tap 0 of the first window is a pad, tap 7 does not exist
    argmax = np.array([0, 7, 0], np.uint8).reshape(1, 1, 3, 1)
    dx = reference("maxpool2d_backward", image([[1, 2, 4]]), argmax, H=1, W=2, **window((1, 2), (1, 1), (0, 1)))
    assert_array_equal(dx, image([[0, 4]]))


def test_avgpool2d_counts_pads_as_zeros():
    # 0 | 2 6 | 4 by pairs, stride 2, a pad in front: (0 + 2)/2, (6 + 4)/2;  each dy returns in halves
    numbers = window((1, 2), (1, 2), (0, 1))
    assert_array_equal(reference("avgpool2d_forward", image([[2, 6, 4]]), P=1, Q=2, **numbers), image([[1, 5]]))
    assert_array_equal(reference("avgpool2d_backward", image([[8, 10]]), H=1, W=3, **numbers), image([[4, 5, 5]]))


def test_global_avgpool2d():
    # two channels over 1x2 pixels: (1 + 3)/2, (10 + 20)/2
    x = np.array([[1.0, 10], [3, 20]]).reshape(1, 1, 2, 2)
    assert_array_equal(reference("global_avgpool2d_forward", x), [[2, 15]])
    dx = reference("global_avgpool2d_backward", [[4.0, 6]], H=1, W=2)
    assert_array_equal(dx, np.array([[2.0, 3], [2, 3]]).reshape(1, 1, 2, 2))


def test_relu():
    y = reference("relu_forward", [-2.0, 0, 0.25, 3, np.nan])
    assert_array_equal(y, [0, 0, 0.25, 3, np.nan])
    assert_array_equal(reference("relu_backward", [4.0, 5, 6, 7, 8], y), [0, 0, 6, 7, 8])


def test_leaky_relu():
    x = [-2.0, 0, 3, np.nan]
    assert_array_equal(reference("leaky_relu_forward", x, slope=0.25), [-0.5, 0, 3, np.nan])
    assert_array_equal(reference("leaky_relu_backward", [4.0, 8, 7, 9], x, slope=0.25), [1, 2, 7, 9])


def test_sigmoid():
    # exp(-ln 3) = 1/3, so y = 1/(1 + 1/3) = 3/4, and 16 y (1 - y) = 16 * 3/16 = 3
    y = reference("sigmoid_forward", [0, LN3, -LN3, np.nan])
    assert_allclose(y, [1 / 2, 3 / 4, 1 / 4, np.nan], rtol=1e-15)
    assert_allclose(reference("sigmoid_backward", [16.0] * 4, y), [4, 3, 3, np.nan], rtol=1e-15)
    with np.errstate(all="raise", under="ignore"):
        assert_allclose(reference("sigmoid_forward", [1000.0, -1000, -700]), [1, 0, math.exp(-700)], rtol=1e-15)


def test_tanh():
    # tanh(ln 2) = (2 - 1/2)/(2 + 1/2) = 3/5, and 1 - 9/25 = 16/25
    y = reference("tanh_forward", [0, LN2, -LN2, np.nan])
    assert_allclose(y, [0, 0.6, -0.6, np.nan], rtol=1e-15)
    assert_allclose(reference("tanh_backward", [25.0] * 4, y), [25, 16, 16, np.nan], rtol=1e-15)


def test_gelu():
    # printed tables of the normal distribution: Phi(1) = 0.8413447460685429, phi(1) = 0.24197072451914337, and far out
    # Phi(-10) = 7.619853024160527e-24, of which 1 + erf would leave nothing
    x = [0, 1, -1, -10, np.nan]
    expected = [0, 0.8413447460685429, -0.1586552539314571, -7.619853024160527e-23, np.nan]
    assert_allclose(reference("gelu_forward", x), expected, rtol=1e-14)
    slope = [1 / 2, 0.8413447460685429 + 0.24197072451914337, 0.1586552539314571 - 0.24197072451914337]
    assert_allclose(reference("gelu_backward", [2.0] * 3, x[:3]), np.multiply(2, slope), rtol=1e-14)


def test_gelu_refuses_complex():
    with pytest.raises(TypeError, match="real types"):
        reference("gelu_forward", [1j])


LOGITS = [[0, LN2, LN5]]            # softmax: 1, 2, 5 over their sum 8


def test_softmax():
    assert_allclose(reference("softmax_forward", LOGITS), [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-15)
    assert_allclose(reference("softmax_forward", np.add(LOGITS, 1000)), [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-12)
    # sum of dy y = 8/8 + 0 + 16*5/8 = 11;  dx = y (dy - 11)
    dx = reference("softmax_backward", [[8.0, 0, 16]], [[1 / 8, 2 / 8, 5 / 8]])
    assert_array_equal(dx, [[-3 / 8, -22 / 8, 25 / 8]])


def test_softmax_cross_entropy():
    # label 1 has p = 2/8: loss = ln 4, gradient p - [k = 1], here times scale = 8
    arguments = LOGITS, [1], [1.0, 1, 1]
    assert_allclose(reference("softmax_cross_entropy_forward", *arguments, label_smoothing=0.0), [2 * LN2], rtol=1e-15)
    dx = reference("softmax_cross_entropy_backward", *arguments, label_smoothing=0.0, scale=8.0)
    assert_allclose(dx, [[1, 2 - 8, 5]], rtol=1e-15)


def test_softmax_cross_entropy_smoothing_and_weights():
    # weights 2 4 6, smoothing 0.3 over 3 classes: q = 0.1 * (2 4 6) + 0.7 * 4 * (0 1 0) = 0.2 3.2 0.6, their sum is 4
    # loss = 0.2 ln 8 + 3.2 ln(8/2) + 0.6 ln(8/5), gradient 4 (1 2 5)/8 - q = 0.3 -2.2 1.9, times scale = 10
    arguments = LOGITS, [1], [2.0, 4, 6]
    loss = reference("softmax_cross_entropy_forward", *arguments, label_smoothing=0.3)
    assert_allclose(loss, [0.2 * 3 * LN2 + 3.2 * 2 * LN2 + 0.6 * (3 * LN2 - LN5)], rtol=1e-15)
    dx = reference("softmax_cross_entropy_backward", *arguments, label_smoothing=0.3, scale=10.0)
    assert_allclose(dx, [[3, -22, 19]], rtol=1e-14)


def test_softmax_cross_entropy_far_logits():
    # p = 1 and 0 to the last bit: the loss of the class with p = 0 is the distance of the logits; the logit -inf of a
    # class that is not the label does no harm
    x = [[1000.0, 0], [0, -np.inf]]
    assert_array_equal(reference("softmax_cross_entropy_forward", x, [1, 0], [1.0, 1], label_smoothing=0.0), [1000, 0])
    dx = reference("softmax_cross_entropy_backward", x, [1, 0], [1.0, 1], label_smoothing=0.0, scale=1.0)
    assert_array_equal(dx, [[1, -1], [0, 0]])


def test_mean_squared_error():
    # ((1 - 3)^2 + (2 - 5)^2)/2 = 6.5; gradient 2 (-2, -3)/2, times scale = 10
    assert_array_equal(reference("mean_squared_error_forward", [[1.0, 2]], [[3.0, 5]]), [6.5])
    assert_array_equal(reference("mean_squared_error_backward", [[1.0, 2]], [[3.0, 5]], scale=10.0), [[-20, -30]])
