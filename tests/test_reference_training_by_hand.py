"""The reference column against numbers worked by hand: batch normalisation, dropout and its Philox, optimizers."""
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference_call import reference

from minicnn import kernels
from minicnn.kernels.dropout_reference import philox4x32


def column(*values):
    """Images of one pixel and one channel, (N, 1, 1, 1)."""
    return np.array(values, float).reshape(-1, 1, 1, 1)


def test_batchnorm():
    # x = 1 3: mean 4/2; squares 1 + 1 = 2, var 1; with eps = 3 the root is 2, xhat = -1/2 1/2, y = 4 xhat + 10
    x, mean, var = column(1, 3), [2.0], [1.0]
    assert reference("batchnorm_statistics", x) == (2, 0, 2)
    assert_array_equal(reference("batchnorm_forward", x, mean, var, [4.0], [10.0], eps=3.0), column(8, 12))
    # dy = 1 3: dgamma = -1/2 + 3/2 = 1, dbeta = 4; dx = 4/2 (dy - (4 + xhat)/2) = 2 (1 - 3.5/2), 2 (3 - 4.5/2)
    dgamma, dbeta = reference("batchnorm_backward_sums", column(1, 3), x, mean, var, eps=3.0)
    assert (dgamma, dbeta) == (1, 4)
    dx = reference("batchnorm_backward_input", column(1, 3), x, mean, var, [4.0], dgamma, dbeta, count=2, eps=3.0)
    assert_array_equal(dx, column(-1.5, 1.5))


def test_batchnorm_relu():
    # as above with beta = 0: z = 4 xhat = -2 2, y = 0 2, so dy = 1 3 counts as 0 3:
    # dgamma = 3/2, dbeta = 3; dx = 4/2 (0 - (3 - 3/4)/2), 2 (3 - (3 + 3/4)/2)
    x, statistics, affine = column(1, 3), ([2.0], [1.0]), ([4.0], [0.0])
    assert_array_equal(reference("batchnorm_relu_forward", x, *statistics, *affine, eps=3.0), column(0, 2))
    dgamma, dbeta = reference("batchnorm_relu_backward_sums", column(1, 3), x, *statistics, *affine, eps=3.0)
    assert (dgamma, dbeta) == (1.5, 3)
    sums = dgamma, dbeta
    dx = reference("batchnorm_relu_backward_input", column(1, 3), x, *statistics, *affine, *sums, count=2, eps=3.0)
    assert_array_equal(dx, column(-2.25, 2.25))


def test_batchnorm_relu_at_the_kink_and_nan():
    # mean 0, var 1, gamma 1, beta 2: z = x + 2 = 0 1 nan; the slope at 0 is 0, a NaN lets dy through
    x, dy = column(-2, -1, np.nan), column(5, 6, 7)
    constants = [0.0], [1.0], [1.0], [2.0]
    assert_array_equal(reference("batchnorm_relu_forward", x, *constants, eps=0.0), column(0, 1, np.nan))
    assert_array_equal(reference("batchnorm_relu_backward_sums", dy, x, *constants, eps=0.0)[1], [13])
    dx = reference("batchnorm_relu_backward_input", dy[:2], x[:2], *constants, [0.0], [0.0], count=2, eps=0.0)
    assert_array_equal(dx, column(0, 6))


def test_batchnorm_running_statistics():
    # mean and var that do not depend on x: dx = gamma / sqrt(var + eps) dy = 4/2 dy
    statistics = [2.0], [1.0], [4.0], [0.0], [0.0]              # mean, var, gamma, dgamma, dbeta
    dx = reference("batchnorm_backward_input", column(1, 3), column(5, 6), *statistics, count=2, eps=3.0)
    assert_array_equal(dx, column(2, 6))


KNOWN_ANSWERS = [           # counter, key, words: kat_vectors of Random123, philox4x32 with 10 rounds
    ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0], "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_known_answers(counter, key, words):
    assert " ".join(f"{int(word):08x}" for word in philox4x32(counter, key)) == words


def test_philox_takes_the_low_32_bits_of_a_counter():
    assert philox4x32((2**32 + 5, -1, 0, 0), (1, 2)) == philox4x32((5, 2**32 - 1, 0, 0), (1, 2))


def test_dropout():
    # words of counter 0, key 0: 66... e1... bc... 9b...; rate 1/2 drops those below 80000000: mask 0 1 1 1
    keys = {"seed": 0, "stream": 0, "epoch": 0}
    y, mask = reference("dropout_forward", [[1.0, 2, 3, 4]], [0], **keys, rate=0.5)
    assert_array_equal(mask, [[0, 1, 1, 1]])
    assert_array_equal(y, [[0, 4, 6, 8]])
    assert_array_equal(reference("dropout_backward", [[5.0, 6, 7, 8]], mask, rate=0.5), [[0, 12, 14, 16]])
    _, mask = reference("dropout_forward", [[1.0, 2, 3, 4]], [0], **keys, rate=0.75)        # below c0000000
    assert_array_equal(mask, [[0, 1, 0, 0]])


def test_dropout_threshold():
    # the word e169c58d is kept at a rate of exactly its own fraction, and dropped one step above
    for step, kept in ((0, 1), (1, 0)):
        rate = (0xE169C58D + step) / 2**32
        assert reference("dropout_forward", [[0.0, 0]], [0], seed=0, stream=0, epoch=0, rate=rate)[1][0, 1] == kept
    assert reference("dropout_forward", np.zeros((1, 4000)), [0], seed=0, stream=0, epoch=0, rate=0.0)[1].all()


def test_dropout_counter_and_key():
    # element by element as the formula has it, with every part of the key different from the others and above 16 bits
    seed, stream, epoch, samples = (7 << 33) + 11, 70000, 300000, [2**20 + 3, 5, 2**33 + 9]
    _, mask = reference("dropout_forward", np.zeros((3, 11)), samples, seed=seed, stream=stream, epoch=epoch, rate=0.3)
    for n, sample in enumerate(samples):
        for e in range(11):
            word = philox4x32((e // 4, sample, epoch, stream), (seed % 2**32, seed // 2**32))[e % 4]
            assert mask[n, e] == (word >= math.floor(0.3 * 2**32))


def test_dropout_keeps_its_share():
    # 20,000 draws at 0.2: the standard deviation of the kept share is sqrt(0.16 / 20000) = 0.0028; allowed are five
    _, mask = reference("dropout_forward", np.zeros((20, 1000)), np.arange(20), seed=1, stream=2, epoch=3, rate=0.2)
    assert abs(mask.mean() - 0.8) < 0.014
    assert abs(mask.mean(axis=0).std() - 0.4 / math.sqrt(20)) < 0.014           # and images draw apart from each other


def test_sgd():
    # w = 1, velocity = 2, lr = momentum = 1/2, weight_decay = 1/4
    # dw = 1/2:  g = 1/2 + 1/4 = 0.75            velocity = 1 + 0.75 = 1.75               w = 1 - 0.875
    # dw = -1:   g = -1 + 0.125/4 = -0.96875     velocity = 0.875 - 0.96875 = -0.09375    w = 0.125 + 0.046875
    numbers = {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.25}
    w, velocity = reference("sgd_update", [0.5], [1.0], [2.0], **numbers)
    assert (w, velocity) == (0.125, 1.75)
    assert reference("sgd_update", [-1.0], w, velocity, **numbers) == (0.171875, -0.09375)


def test_nesterov():
    # as above, but the step is g + velocity/2:
    # dw = 1/2:  g = 0.75         velocity = 1.75                             w = 1 - (0.75 + 0.875)/2
    # dw = -1:   g = -0.953125    velocity = 0.875 - 0.953125 = -0.078125     w = 0.1875 + (0.953125 + 0.0390625)/2
    numbers = {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.25}
    w, velocity = reference("nesterov_update", [0.5], [1.0], [2.0], **numbers)
    assert (w, velocity) == (0.1875, 1.75)
    assert reference("nesterov_update", [-1.0], w, velocity, **numbers) == (0.68359375, -0.078125)


ADAM = {"lr": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 2.5, "weight_decay": 0.5}


def test_adam():
    # step 1, w = 1, dw = 2:      g = 2 + 1/2 = 2.5        m = 1.25                   v = 6.25/4 = 1.5625
    #         mhat = 1.25/(1/2) = 2.5,   vhat = 1.5625/(1/4) = 6.25,   w = 1 - 1/2 * 2.5/(2.5 + 2.5) = 0.75
    # step 2, dw = -2.875:        g = -2.875 + 0.375       m = 0.625 - 1.25 = -0.625  v = 1.171875 + 1.5625 = 2.734375
    #         mhat = -0.625/(3/4) = -5/6,   vhat = 2.734375/(7/16) = 6.25,   w = 0.75 + 1/2 * 5/6 / 5 = 5/6
    w, m, v = reference("adam_update", [2.0], [1.0], [0.0], [0.0], step=1, **ADAM)
    assert (w, m, v) == (0.75, 1.25, 1.5625)
    w, m, v = reference("adam_update", [-2.875], w, m, v, step=2, **ADAM)
    assert (m, v) == (-0.625, 2.734375)
    assert_allclose(w, 5 / 6, rtol=1e-15)


def test_adamw():
    # the decay acts on w alone: step 1 w = 1 - 1/4 = 0.75, then as adam with g = 2.5:   w = 0.75 - 0.25
    #                            step 2 w = 0.5 - 1/8 = 0.375, then with g = -2.5:       w = 0.375 + 1/12
    w, m, v = reference("adamw_update", [2.5], [1.0], [0.0], [0.0], step=1, **ADAM)
    assert (w, m, v) == (0.5, 1.25, 1.5625)
    w, m, v = reference("adamw_update", [-2.5], w, m, v, step=2, **ADAM)
    assert (m, v) == (-0.625, 2.734375)
    assert_allclose(w, 0.375 + 1 / 12, rtol=1e-15)


OF_BATCHES = [name for name, spec in kernels.SPECS.items() if any("N" in a.axes for a in spec.arrays)]


@pytest.mark.parametrize("name", OF_BATCHES)
def test_no_images(name):
    # outputs per image are empty, and what is summed over images is 0
    spec = kernels.SPECS[name]
    extents = dict(zip("NHWCRSPQKE", (0, 5, 4, 3, 3, 2, 3, 3, 2, 7), strict=True))
    inputs = [np.zeros([extents[letter] for letter in a.axes], a.dtype) for a in spec.arrays if not a.output]
    integers = {"size_h": 3, "size_w": 2, "stride_h": 1, "stride_w": 1, "count": 1}
    numbers = {i: integers.get(i, 0) for i in spec.integers} | dict.fromkeys(spec.floats, 0.5)
    outputs = reference(name, *inputs, **numbers, **{letter: extents[letter] for letter in "HWPQRS"})
    for array, value in zip(spec.outputs, outputs if isinstance(outputs, tuple) else (outputs,), strict=True):
        assert value.size == 0 if "N" in array.axes else not value.any()
