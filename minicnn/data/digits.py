"""`digits`: the 1,797 real handwritten digits of UCI's optical digits, 8x8 gray, shipped with the package.

Alpaydin and Kaynak 1998, doi 10.24432/C50P49, CC BY 4.0: see digits-LICENSE.txt.
Stored as 0..16, scaled here to 0..255.
"""

from pathlib import Path

import numpy as np

from .arrays import Stack, source_of
from .split import TRAIN


def read(_name="digits"):
    """The Source: (1797, 8, 8, 1) uint8, ten classes "0" to "9"."""
    with np.load(Path(__file__).with_name("digits.npz")) as stored:
        images, labels = stored["images"], stored["labels"]
    pixels = np.rint(images[..., None] * (255 / 16)).astype(np.uint8)
    return source_of([Stack(pixels, labels, TRAIN, "digits")])
