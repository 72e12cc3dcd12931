"""prepare: conversions of raw pictures, statistics, and the description that goes into a model file."""

import copy

import numpy as np
import pytest
from PIL import Image

from minicnn.data import check_preprocessing, prepare
from minicnn.data.pixels import fit, to_pixels
from minicnn.data.prepare import statistics
from minicnn.errors import DataError

GRAY = {"size": [2, 3], "channels": 1, "mean": [0.25], "std": [0.5], "resize": "bicubic", "white": 1.0}
RGB = {**GRAY, "channels": 3, "mean": [0.25, 0.5, 0.75], "std": [0.5, 0.25, 0.125]}
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (4, 2, 3, 3), dtype=np.uint8)


def test_formula_by_hand():
    picture = np.array([[0, 51, 255], [102, 153, 204]], np.uint8)
    expected = np.array([[-0.5, -0.1, 1.5], [0.3, 0.7, 1.1]])
    x = prepare([picture], GRAY)
    assert x.shape == (1, 2, 3, 1) and x.dtype == np.float32
    np.testing.assert_allclose(x[0, ..., 0], expected, atol=1e-6)
    x = prepare([picture], RGB)
    for c, (mean, std) in enumerate(zip(RGB["mean"], RGB["std"], strict=True)):
        np.testing.assert_allclose(x[0, ..., c], (picture / 255 - mean) / std, atol=1e-5)


def test_one_stack_or_a_list_or_one_picture():
    x = prepare(PIXELS, RGB)
    np.testing.assert_array_equal(prepare(list(PIXELS), RGB), x)
    np.testing.assert_array_equal(prepare([Image.fromarray(p) for p in PIXELS], RGB), x)
    np.testing.assert_array_equal(prepare(Image.fromarray(PIXELS[0]), RGB), x[:1])
    np.testing.assert_array_equal(prepare(PIXELS[0, :, :, 0], GRAY), prepare(PIXELS[:1, :, :, :1], GRAY))
    gray = PIXELS.reshape(4, 2, 9)
    np.testing.assert_array_equal(prepare(gray, GRAY), prepare(gray[..., None], GRAY))
    assert prepare([], RGB).shape == prepare(PIXELS[:0], RGB).shape == (0, 2, 3, 3)


def test_colour_for_a_gray_net_is_converted_and_said_once(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS[0]).save(path)
    luma = np.rint(PIXELS[0] @ [0.299, 0.587, 0.114])
    for raw in ([path, str(path)], [PIXELS[0]] * 2, [Image.fromarray(PIXELS[0])] * 2, PIXELS[[0, 0]]):
        notes = []
        x = prepare(raw, GRAY, notes)
        np.testing.assert_allclose((x[0, ..., 0] * 0.5 + 0.25) * 255, luma, atol=1.01)
        np.testing.assert_array_equal(x[0], x[1])
        assert len(notes) == 1 and "converted to gray" in notes[0]
    prepare(PIXELS[..., :1], GRAY, notes := [])
    prepare(PIXELS, RGB, notes)
    assert notes == []


def test_floats_go_the_same_way_as_bytes():
    np.testing.assert_allclose(prepare(PIXELS / 255, RGB), prepare(PIXELS, RGB), atol=1e-5)
    np.testing.assert_allclose(prepare(PIXELS.astype(float), {**RGB, "white": 255.0}), prepare(PIXELS, RGB), atol=1e-5)
    smooth = np.add.outer(np.arange(24), np.arange(36)).astype(np.uint8)[None, ..., None] * np.ones(3, np.uint8)
    for preprocessing in (GRAY, RGB):
        # Bytes are rounded after each of the two filter passes: within 2 of 255 levels, divided by std.
        atol = 2 / 255 / min(preprocessing["std"])
        np.testing.assert_allclose(prepare(smooth / 255, preprocessing), prepare(smooth, preprocessing), atol=atol)


def test_float_resize_stays_within_black_and_white():
    edge = np.zeros((1, 20, 20, 1), np.float32)
    edge[:, :, 9:] = 1
    resized = fit(edge, (15, 15), 1)
    assert resized.min() == 0 and resized.max() == 1


@pytest.mark.parametrize(
    ("pictures", "error", "message"),
    [
        (np.zeros((480, 640, 3), np.uint8), ValueError, r"goes into a list, \[array\]"),
        (np.zeros((2, 8, 8, 5), np.uint8), ValueError, r"shape \(2, 8, 8, 5\) is no stack"),
        ([np.zeros(7)], ValueError, r"shape \(7,\) is no picture"),
        ([np.full((4, 4), 200.0)], ValueError, "200 to 200; expected 0..1"),
        ([np.full((4, 4), np.inf)], ValueError, "inf at"),
        ([np.zeros((4, 4), complex)], ValueError, "complex128"),
        ([np.zeros((0, 4))], ValueError, "no stack"),
        ([None], TypeError, "NoneType is no picture"),
        ([3], TypeError, "int is no picture"),
        (["gone\n.jpg"], DataError, r"gone\\n.jpg: No such file or directory"),
        ([Image.new("F", (4, 4))], ValueError, "32 bits a value"),
    ],
)
def test_refused(pictures, error, message):
    with pytest.raises(error, match=message):
        prepare(pictures, RGB)


def test_statistics():
    for pixels in (PIXELS, (PIXELS / 255).astype(np.float32), np.tile(PIXELS, (300, 1, 1, 1))):
        unit = pixels / (255 if pixels.dtype == np.uint8 else 1)
        mean, std = statistics(pixels)
        np.testing.assert_allclose(mean, unit.mean(axis=(0, 1, 2)), rtol=1e-6)
        np.testing.assert_allclose(std, unit.std(axis=(0, 1, 2)), rtol=1e-6)
    assert statistics(PIXELS) == statistics(PIXELS[::-1])
    mean, std = statistics(np.full((3, 2, 2, 1), 51, np.uint8))  # constant: nothing is divided by zero
    assert mean == pytest.approx([0.2]) and std == [1.0]


def test_to_pixels_keeps_bytes_without_a_copy():
    assert np.shares_memory(to_pixels(PIXELS), PIXELS)


def test_check_preprocessing():
    check_preprocessing(GRAY)
    check_preprocessing(RGB)
    wrong = {
        "size": [[2], [0, 3], [2.0, 3], [2, 10**9], "23", None, [True, 3]],
        "channels": [2, 0, "3", True, None],
        "mean": [[0.5], [0.5, 0.5, "0"], [0, 0, float("nan")], None, [2, 0, 0]],
        "std": [[0.5, 0.5, 0], [1, 1, float("inf")], 3],
        "resize": ["nearest", None],
        "white": [0, 2, "1", True],
    }
    for key, values in wrong.items():
        for value in values:
            with pytest.raises(ValueError, match=rf"preprocessing: {key} cannot be"):
                check_preprocessing({**copy.deepcopy(RGB), key: value})
    for broken in (None, {}, {**RGB, "extra": 1}, [1]):
        with pytest.raises(ValueError, match="must have exactly the keys"):
            check_preprocessing(broken)
