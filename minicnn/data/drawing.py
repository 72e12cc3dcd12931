"""`shapes`: pictures made by program, any size, number of classes and count; for tests, scaling and a first look.

Class c is outline c mod 8 (disc, square, triangle, cross, ring, diamond, bars, checks), filled with c // 8 dark
stripes. Place, radius, turn, the two gray levels (or colours) and noise differ from picture to picture: neither
brightness nor a single pixel tells the class. Picture n depends on (seed, side, channels, n), not on their count.

An outline is a function f(u, v) of coordinates in which the radius is 1, negative inside; a pixel is covered by
clip(0.5 - f * radius, 0, 1), with the radius in pixels: edges are smooth.
"""

import numpy as np

from ..errors import UsageError
from .arrays import Stack, source_of
from .split import TRAIN

OUTLINES = {
    "disc": lambda u, v: np.hypot(u, v) - 0.9,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) - 0.75,
    "triangle": lambda u, v: np.maximum(np.maximum(0.87 * u - 0.5 * v, -0.87 * u - 0.5 * v), v) - 0.5,
    "cross": lambda u, v: np.maximum(np.minimum(abs(u), abs(v)) - 0.25, np.maximum(abs(u), abs(v)) - 0.95),
    "ring": lambda u, v: abs(np.hypot(u, v) - 0.7) - 0.2,
    "diamond": lambda u, v: 0.55 * abs(u) + 0.83 * abs(v) - 0.5,
    "bars": lambda u, v: np.maximum(abs(abs(u) - 0.5) - 0.2, abs(v) - 0.85),
    "checks": lambda u, v: np.maximum(np.maximum(abs(u), abs(v)) - 0.85, -u * v),
}
CHUNK = 256


def read(_name="shapes", side: int = 32, classes: int = 4, count: int = 1200, seed: int = 0, channels: int = 3):
    """The Source: (count, side, side, channels) uint8 with `classes` classes, equally many of each.

    Raises UsageError for side < 8, classes < 2, fewer than 3 pictures a class, channels other than 1 and 3.
    """
    if side < 8 or classes < 2 or count < 3 * classes or channels not in (1, 3):
        raise UsageError(
            f"shapes: side {side}, classes {classes}, count {count}, channels {channels}; "
            f"expected side >= 8, classes >= 2, count >= 3 * classes, channels 1 or 3"
        )
    labels = np.arange(count) % classes
    values = np.random.Generator(np.random.Philox(seed)).random((count, 12))
    noise = np.random.Generator(np.random.Philox(seed + 1))
    pixels = np.empty((count, side, side, channels), np.uint8)
    for start in range(0, count, CHUNK):
        rows = slice(start, start + CHUNK)
        pixels[rows] = _draw(labels[rows], values[rows], noise, side, channels)
    source = source_of([Stack(pixels, labels, TRAIN, "shapes")])
    source.classes = [_class_name(label) for label in range(classes)]
    return source


def _class_name(label):
    stripes, outline = divmod(label, len(OUTLINES))
    return list(OUTLINES)[outline] + (f"-{stripes}" if stripes else "")


def _draw(labels, values, noise, side, channels):
    """(n,) labels, (n, 12) random numbers in [0, 1) -> (n, side, side, channels) uint8."""
    centre_x, centre_y = (side * (0.5 + 0.2 * (values[:, k, None, None] - 0.5)) for k in (0, 1))
    radius = side * (0.26 + 0.12 * values[:, 2, None, None])
    turn = 0.7 * (values[:, 3, None, None] - 0.5)
    rows, columns = np.mgrid[:side, :side] + 0.5
    x, y = (columns - centre_x) / radius, (rows - centre_y) / radius
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    outside = np.empty_like(u)
    for kind, outline in enumerate(OUTLINES.values()):
        mine = labels % len(OUTLINES) == kind
        outside[mine] = outline(u[mine], v[mine])
    stripes = (labels // len(OUTLINES))[:, None, None]
    shade = np.where(stripes, 0.7 + 0.3 * np.sin(np.pi * stripes * (u + v)), 1.0)
    cover = np.clip(0.5 - outside * radius, 0, 1) * shade
    low, contrast = 0.5 * values[:, 4 : 4 + channels], 0.3 + 0.2 * values[:, 8 : 8 + channels]
    flip = values[:, 11, None] < 0.5  # half of the shapes are darker than their ground
    ground, shape = np.where(flip, low + contrast, low), np.where(flip, low, low + contrast)
    ground, shape = ground[:, None, None, :], shape[:, None, None, :]
    picture = ground + (shape - ground) * cover[..., None]
    picture = picture + 0.04 * (noise.random(picture.shape) - 0.5)
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
