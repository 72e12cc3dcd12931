"""Small data sets written to disk, for the tests of minicnn.data."""

import gzip
import struct

import numpy as np
from PIL import Image


def idx_bytes(array, kind=0x08) -> bytes:
    """An IDX file of a uint8 array."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def write_idx(path, array):
    """Writes `array` as IDX, packed when the name ends in .gz."""
    data = idx_bytes(np.asarray(array, np.uint8))
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_mnist(folder, train=60, test=20, classes=3, side=6, ending="", seed=0):
    """A folder of four IDX files named as MNIST's; returns (train images, train labels, test images, test labels)."""
    rng = np.random.default_rng(seed)
    arrays = []
    for name, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, side, side), dtype=np.uint8)
        labels = (np.arange(count) % classes).astype(np.uint8)
        write_idx(folder / f"{name}-images-idx3-ubyte{ending}", images)
        write_idx(folder / f"{name}-labels-idx1-ubyte{ending}", labels)
        arrays += [images, labels]
    return arrays


def write_photos(folder, counts, side=(10, 12), mode="RGB", ending=".png", seed=0):
    """One folder per class of random pictures, counts = {class: number}; returns {path relative to folder: pixels}."""
    rng = np.random.default_rng(seed)
    written = {}
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (*side, 3) if mode == "RGB" else side, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}{ending}")
            written[f"{name}/{number:03}{ending}"] = pixels
    return written
