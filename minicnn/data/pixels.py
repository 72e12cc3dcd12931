"""Arrays of pictures: number types, channel order, gray and colour, size.

Inside minicnn a stack of pictures is `pixels` (N, H, W, C), C = 1 or 3, either

    uint8     0..255    (files, bytes)              or        float32   0..1    (more than 8 bits, fractions)

Documented conversions into that: bool -> 0 or 255; uint16 -> x / 65535; other integers must lie in 0..255 -> uint8;
floats must lie in 0..white (white = 1 or 255) -> x / white. (N, H, W) is gray. Channels stand last, (N, H, W, C);
(N, C, H, W) is turned when only that reading gives 1 or 3 channels. A fourth channel is alpha, laid over white.
"""

import numpy as np
from PIL import Image

from . import picture

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, what Pillow's "L" uses


def to_pixels(array, white: float = 1.0) -> np.ndarray:
    """A stack (N, H, W), (N, H, W, C) or (N, C, H, W) of any real number type as pixels (N, H, W, C).

    Raises ValueError that says what was found (shape, type, range) and what was expected.
    """
    return _over_white(_eight_bits_or_fractions(channels_last(np.asarray(array)), white))


def channels_last(array) -> np.ndarray:
    """(N, H, W, C) with C in 1, 3, 4 from (N, H, W), (N, H, W, C) or (N, C, H, W); a view."""
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[3] not in (1, 3, 4) and array.shape[1] in (1, 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in (1, 3, 4) or 0 in array.shape[1:3]:
        raise ValueError(f"shape {array.shape} is no stack of pictures; expected (N, H, W), (N, H, W, 1), (N, H, W, 3)")
    return array


def white_of(array) -> float:
    """1 or 255: what stands for white in a whole set of float pictures; 1 for every other number type.

    Raises ValueError for values that are not finite or outside 0..255.
    """
    if array.dtype.kind != "f" or not array.size:
        return 1.0
    low, high = float(array.min()), float(array.max())
    if not (0 <= low and high <= 255):  # also false for NaN
        _refuse_range(array, low, high, "0..1 or 0..255 (minicnn standardises by itself)")
    return 1.0 if high <= 1 else 255.0


def fit(pixels, size, channels) -> np.ndarray:
    """Pixels (N, h, w, c) as (N, H, W, channels): gray or RGB, then resized to size = (H, W); same number type.

    8-bit pictures go exactly the way of picture files (picture.convert).
    """
    if pixels.shape[1:] == (*size, channels):
        return pixels
    out = np.empty((len(pixels), *size, channels), pixels.dtype)
    fit_one = _fit_bytes if pixels.dtype == np.uint8 else _fit_fractions
    for source, target in zip(pixels, out, strict=True):
        target[...] = fit_one(source, size, channels)
    return out


def _eight_bits_or_fractions(array, white):
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return array
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind not in "uif":
        raise ValueError(f"values of type {array.dtype}; expected whole or floating-point numbers")
    if array.dtype.newbyteorder("=") == np.uint16:
        return array.astype(np.float32) / np.float32(65535)
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    top = white if kind == "f" else 255
    if not (0 <= low and high <= top):  # also false for NaN
        _refuse_range(array, low, high, f"0..{top:g}")
    if kind == "f":
        return array.astype(np.float32) / np.float32(white)
    return array.astype(np.uint8)


def _refuse_range(array, low, high, expected):
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{array[where]} at {where}; expected values in {expected}")
    raise ValueError(f"{array.dtype} values from {low:g} to {high:g}; expected {expected}")


def _over_white(pixels):
    if pixels.shape[3] != 4:
        return pixels
    if pixels.dtype == np.uint8:
        flat = [picture.convert(Image.fromarray(one), None, 3) for one in np.ascontiguousarray(pixels)]
        return np.stack(flat) if flat else pixels[..., :3]
    alpha = pixels[..., 3:]
    return pixels[..., :3] * alpha + (1 - alpha)


def _fit_bytes(source, size, channels):
    source = np.ascontiguousarray(source)
    return picture.convert(Image.fromarray(source[..., 0] if source.shape[2] == 1 else source), size, channels)


def _fit_fractions(source, size, channels):
    if channels == 1 and source.shape[2] == 3:
        source = (source @ np.array(LUMA, np.float32))[..., None]
    planes = [source[..., c] for c in range(source.shape[2])]
    if source.shape[:2] != tuple(size):
        # Mode F filters each channel in float; bicubic overshoots at edges, 8-bit pictures are clipped the same way.
        target = (size[1], size[0])
        planes = [
            np.clip(np.asarray(Image.fromarray(np.ascontiguousarray(p)).resize(target, Image.Resampling.BICUBIC)), 0, 1)
            for p in planes
        ]
    return np.stack(planes * (channels // len(planes)), axis=-1)
