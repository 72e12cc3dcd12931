"""Sets that come as arrays (IDX, .npz, digits, shapes): from labelled stacks of pictures to a Source.

A file's bytes are trusted with memory only in proportion to its size: see `budget`.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from .dataset import Source
from .pixels import fit
from .split import PARTS

UNPACKED_LIMIT = 100
UNPACKED_FREE = 16 << 20


def budget(file_size: int) -> int:
    """How many bytes a compressed file may unpack to: 100 times its size, and always 16 MiB.

    Images compress to 2-50 %; a bomb of zeros reaches 1,030 times.
    """
    return UNPACKED_LIMIT * file_size + UNPACKED_FREE


@dataclass
class Stack:
    """One part's labelled pictures: pixels (N, H, W, C) uint8 or float32, labels (N,) int or str."""

    pixels: np.ndarray
    labels: np.ndarray
    part: int
    where: str


def source_of(stacks: list[Stack], white: float = 1.0) -> Source:
    """The Source of stacks, the train part first, all of one picture shape.

    Classes are the labels that occur in the train part, in order. Raises ValueError when shapes differ, when labels and
    pictures are not equally many, or when another part has a label that train has not.
    """
    first = stacks[0]
    for stack in stacks:
        if len(stack.pixels) != len(stack.labels):
            raise ValueError(f"{stack.where} has {len(stack.pixels)} images but {len(stack.labels)} labels")
        if not len(stack.pixels):
            raise ValueError(f"{stack.where} is empty: 0 images")
        if stack.pixels.shape[1:] != first.pixels.shape[1:] or stack.pixels.dtype != first.pixels.dtype:
            raise ValueError(
                f"{stack.where} has pictures {stack.pixels.shape[1:]} {stack.pixels.dtype}, "
                f"{first.where} {first.pixels.shape[1:]} {first.pixels.dtype}; they must agree"
            )
    values = np.unique(first.labels)
    labels = np.concatenate([_indices(stack, values, first.where) for stack in stacks])
    pixels = first.pixels if len(stacks) == 1 else np.concatenate([stack.pixels for stack in stacks])
    pixels = np.ascontiguousarray(pixels)
    height, width, channels = pixels.shape[1:]
    return Source(
        labels=labels,
        given=np.concatenate([np.full(len(stack.labels), stack.part, np.int8) for stack in stacks]),
        digests=[hashlib.sha256(picture).digest() for picture in pixels],
        files=[row for stack in stacks for row in range(len(stack.labels))],
        classes=[str(value) for value in values.tolist()],
        sizes=np.array([(height, width)]),
        decode=lambda size, channels: (fit(pixels, size, channels), {}),
        size=(height, width),
        channels=channels,
        white=white,
    )


def _indices(stack, values, first_name):
    places = np.clip(np.searchsorted(values, stack.labels), 0, len(values) - 1)
    unknown = values[places] != stack.labels
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(
            f"{stack.where} has label {stack.labels[row]} (image {row}), which {first_name} has not "
            f"(its {len(values)} labels: {values[0]} to {values[-1]})"
        )
    return places.astype(np.int64)


def part_number(word: str) -> int | None:
    """TRAIN, VAL or TEST for the names parts go by; None for any other word."""
    other = {"t10k": "test", "valid": "val", "validation": "val", "testing": "test", "training": "train"}
    name = other.get(word.lower(), word.lower())
    return PARTS.index(name) if name in PARTS else None
