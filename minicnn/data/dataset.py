"""A data set as it is trained on, and the raw form every format reads into.

    format's read(path) -> Source -> Source.decode(size, channels) -> split -> Dataset(train, val, test)
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .prepare import standardise


@dataclass
class Source:
    """What a format hands over: labelled pictures, not yet decoded to one size, not yet split.

    labels   (N,) int64, index in `classes`
    given    (N,) int8, the part the files state (split.TRAIN, VAL, TEST); all TRAIN where they state none
    digests  N SHA-256 digests: of the file's bytes, or of the pixels for arrays
    files    N names relative to the source (str), or indices (int)
    sizes    (M, 2) the different (height, width) there are, or one row
    decode   (size or None, channels) -> pixels (N, H, W, channels), {row: why it could not be decoded}
    size     (H, W) that is used where the user asks for none
    channels 1 when every picture is gray, else 3
    white    what white is in this set's float arrays, 1 or 255 (see prepare.py)
    skipped  (name, reason) of what could not be used;  notes: remarks for the screen
    """

    labels: np.ndarray
    given: np.ndarray
    digests: Sequence[bytes]
    files: Sequence
    classes: list[str]
    sizes: np.ndarray
    decode: Callable
    size: tuple[int, int]
    channels: int
    white: float = 1.0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Part:
    """Train, validation or test part: row n of each field belongs to the same picture.

    pixels (N, H, W, C) uint8 0..255 or float32 0..1, labels (N,) int64, files: N names or indices.
    """

    pixels: np.ndarray
    labels: np.ndarray
    files: list
    preprocessing: dict

    @cached_property
    def images(self) -> np.ndarray:
        """(N, H, W, C) float32, standardised; made at first use, so a part that is never opened costs a quarter."""
        return standardise(self.pixels, self.preprocessing)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class Dataset:
    """Prepared data, what `load` returns.

    fingerprint: hex SHA-256 over pictures, labels, order, classes, size and split: equal for equal training data,
    wherever the files lie.  skipped: (file, reason).  summary: counts, mode and sizes, as in loading._summary.
    """

    name: str
    train: Part
    val: Part
    test: Part
    classes: list[str]
    preprocessing: dict
    fingerprint: str
    skipped: list[tuple[str, str]]
    summary: dict

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one prepared image."""
        return (*self.preprocessing["size"], self.preprocessing["channels"])

    def __str__(self) -> str:
        """The first lines of the screen of `train`: what the data are and how they are split."""
        s = self.summary
        (low, high), (height, width) = s["sizes"], s["size"]
        sizes = f"{low[1]}x{low[0]}" + (f" to {high[1]}x{high[0]}" if high != low else "")
        if (low, high) != (s["size"], s["size"]):
            sizes += f" -> {width}x{height}"
        head = f"{s['source']}: {len(self.classes)} classes, {_spaced(s['images'])} images, {s['mode']}, {sizes}"
        parts = "   ".join(f"{part} {_spaced(count)}" for part, count in s["parts"].items())
        return "\n".join([head, f"  {parts} (not opened during training)", *(f"  ! {note}" for note in s["notes"])])


def _spaced(number):
    return f"{number:,}".replace(",", " ")


def fingerprint(source: Source, parts, size, channels) -> str:
    """Hex SHA-256 over everything of the data that training sees (see Dataset)."""
    digest = hashlib.sha256(json.dumps([source.classes, list(size), channels, len(source.labels)]).encode())
    digest.update(np.ascontiguousarray(source.labels, "<i8").tobytes())
    digest.update(np.ascontiguousarray(parts, "<i1").tobytes())
    digest.update(b"".join(source.digests))
    return digest.hexdigest()
