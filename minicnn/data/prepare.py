"""From pictures to what a net is fed, defined once for training, evaluation and prediction.

    x[n, h, w, c] = (p[n, h, w, c] - mean[c]) / std[c]          p in 0..1, after conversion to `channels` and `size`

mean and std are taken per channel over all pixels of the train part only. The description is plain data and goes into
the model file:

    {"size": [H, W], "channels": 1 or 3, "mean": [...], "std": [...], "resize": "bicubic", "white": 1.0 or 255.0}

"white" is what white is in arrays of floats; files and whole numbers state it by their type (see pixels.py).
"""

import math
import os

import numpy as np
from PIL import Image

from ..errors import DataError
from . import picture
from .names import printable
from .pixels import fit, to_pixels

LARGEST_SIDE = 4096
COLOUR_TO_GRAY = "colour pictures were converted to gray, as the net takes gray ones"
KEYS = {"size", "channels", "mean", "std", "resize", "white"}


def statistics(pixels) -> tuple[list[float], list[float]]:
    """(mean, std) per channel of pixels (N, H, W, C) on the scale 0..1, std over all pixels, 1 where it would be 0."""
    if pixels.dtype == np.uint8:
        return _statistics_bytes(pixels)
    mean = pixels.mean(axis=(0, 1, 2), dtype=np.float64)
    # Image by image, so that no float64 copy of the whole set is made.
    squares = sum(((image - mean) ** 2).sum(axis=(0, 1)) for image in pixels)
    return mean.tolist(), _no_zero(np.sqrt(squares / (pixels.size / pixels.shape[3])))


def _statistics_bytes(pixels):
    # Counting the 256 values is exact, so the result does not depend on the order of any sum.
    channels = pixels.shape[3]
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(pixels), 512):  # bincount widens its input to 8 bytes
        for c in range(channels):
            counts[c] += np.bincount(pixels[start : start + 512, ..., c].ravel(), minlength=256)
    values = np.arange(256) / 255
    mean = counts @ values / counts.sum(axis=1)
    squares = (counts * (values - mean[:, None]) ** 2).sum(axis=1)
    return mean.tolist(), _no_zero(np.sqrt(squares / counts.sum(axis=1)))


def _no_zero(std):
    return np.where(std < 1e-6, 1.0, std).tolist()


def standardise(pixels, preprocessing) -> np.ndarray:
    """float32 (N, H, W, C) from pixels (N, H, W, C), uint8 or float32 in 0..1, of the right size and channels."""
    mean, std = np.array(preprocessing["mean"]), np.array(preprocessing["std"])
    unit = 255.0 if pixels.dtype == np.uint8 else 1.0
    x = np.multiply(pixels, (1 / (unit * std)).astype(np.float32), dtype=np.float32)
    x -= (mean / std).astype(np.float32)
    return x


def prepare(pictures, preprocessing, notes: list[str] | None = None) -> np.ndarray:
    """Raw pictures as the float32 (N, H, W, C) that the net of this preprocessing takes.

    pictures: one path or Pillow image, a list of paths, Pillow images and arrays (H, W) or (H, W, C), or one array
    (N, H, W) or (N, H, W, C); numbers as in pixels.py. Alpha is laid over white, colour becomes gray for a gray net
    and gray becomes RGB for a colour net.
    notes: gets one line the first time that colour is turned into gray.
    Raises DataError for a file that cannot be read, ValueError or TypeError for an array that is no picture.
    """
    size, channels = tuple(preprocessing["size"]), preprocessing["channels"]
    if isinstance(pictures, np.ndarray):
        stack = _stack(pictures, preprocessing)
        _note_colour(stack.shape[3] > channels, notes)
        return standardise(fit(stack, size, channels), preprocessing)
    if isinstance(pictures, (str, os.PathLike, Image.Image)):
        pictures = [pictures]
    pictures = list(pictures)
    x = np.empty((len(pictures), *size, channels), np.float32)
    with picture.quiet_pillow():
        for row, one in enumerate(pictures):
            x[row] = standardise(_one_picture(one, size, channels, preprocessing, notes)[None], preprocessing)[0]
    return x


def _one_picture(one, size, channels, preprocessing, notes):
    if isinstance(one, (str, os.PathLike)):
        try:
            _note_colour(channels == 1 and notes is not None and not picture.inspect(one).gray, notes)
            return picture.read(one, size, channels)
        except picture.Unreadable as reason:
            raise DataError(f"{printable(one)}: {reason}") from None
    if isinstance(one, Image.Image):
        try:
            _note_colour(channels == 1 and not picture.is_gray(one), notes)
            return picture.convert(one, size, channels)
        except picture.Unreadable as reason:
            raise ValueError(str(reason)) from None
    if not isinstance(one, np.ndarray):
        raise TypeError(f"{type(one).__name__} is no picture; expected a path, a Pillow image or an array")
    if one.ndim not in (2, 3):
        raise ValueError(f"shape {one.shape} is no picture; expected (H, W) or (H, W, C)")
    stack = to_pixels(one[None], preprocessing["white"])
    _note_colour(stack.shape[3] > channels, notes)
    return fit(stack, size, channels)[0]


def _stack(array, preprocessing):
    if array.ndim == 2:
        array = array[None, :, :, None]
    if array.ndim == 3 and array.shape[2] in (1, 3, 4):
        told = "one picture (H, W, C) goes into a list, [array]; gray stacks are (N, H, W, 1)"
        raise ValueError(f"shape {array.shape}: {told}")
    return to_pixels(array, preprocessing["white"])


def _note_colour(converted, notes):
    if converted and notes is not None and COLOUR_TO_GRAY not in notes:
        notes.append(COLOUR_TO_GRAY)


def check_preprocessing(preprocessing) -> None:
    """Raises ValueError, naming the key, unless `prepare` can follow this description (from a model file, say)."""
    if not isinstance(preprocessing, dict) or set(preprocessing) != KEYS:
        raise ValueError(f"preprocessing must have exactly the keys {', '.join(sorted(KEYS))}")
    channels = preprocessing["channels"]
    checks = {
        "size": _numbers(preprocessing["size"], 2, whole=True, low=1, high=LARGEST_SIDE),
        "channels": type(channels) is int and channels in (1, 3),
        "mean": channels in (1, 3) and _numbers(preprocessing["mean"], channels, low=0, high=1),
        "std": channels in (1, 3) and _numbers(preprocessing["std"], channels, low=1e-6, high=1),
        "resize": preprocessing["resize"] == "bicubic",
        "white": type(preprocessing["white"]) in (int, float) and preprocessing["white"] in (1, 255),
    }
    for key, right in checks.items():
        if not right:
            raise ValueError(f"preprocessing: {key} cannot be {preprocessing[key]!r:.80}")


def _numbers(values, count, low, high, whole=False):
    types = (int,) if whole else (int, float)
    return (
        isinstance(values, (list, tuple))
        and len(values) == count
        and all(type(v) in types and math.isfinite(v) and low <= v <= high for v in values)
    )
