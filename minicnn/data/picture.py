"""One picture: from a file or a Pillow image to 8-bit pixels of a given size.

    file -> regular file? -> known format? -> at most 50 million pixels?
         -> decode -> turn as EXIF says -> gray or RGB -> resize

Alpha is laid over white; 16-bit gray is scaled by 1/257, so 65535 becomes 255 (Pillow's own conversion would clip at
255); CMYK, YCbCr, LAB and palettes become RGB; 32-bit integer and floating-point pictures are refused. Of an
animation the first frame counts. Gray from colour is ITU-R 601 luma (Pillow's "L"). Resizing stretches to the asked
size with Pillow's bicubic filter, whose support grows with the reduction: antialiased. JPEG's draft mode is not used,
it would change the pixels. At most 13 bytes a pixel are held while decoding, 650 MB for the largest picture allowed.
"""

import hashlib
import os
import stat
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from .names import printable

# Only these parsers ever see a file's bytes, whatever its name says (an EPS named .jpg would start Ghostscript).
FILE_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 50_000_000
# What turns a picture back upright, by its EXIF orientation (Exif 2.32, tag 0x0112; 1 is upright).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
GRAY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N")


class Unreadable(Exception):
    """Why a file is no usable picture, in words for the list of skipped files."""


@dataclass(frozen=True)
class Header:
    """What is known of a picture file before it is decoded: size as stored, (height, width)."""

    digest: bytes
    size: tuple[int, int]
    gray: bool
    animated: bool


def inspect(path) -> Header:
    """SHA-256 of the file and its picture's header; raises Unreadable."""
    with _opened(path) as (file, image):
        header = image.size[::-1], is_gray(image), _is_animated(image)
        file.seek(0)
        return Header(hashlib.file_digest(file, "sha256").digest(), *header)


def read(path, size, channels) -> np.ndarray:
    """The file's picture as (height, width, channels) uint8, channels 1 or 3, size = (height, width).

    Raises Unreadable.
    """
    with _opened(path) as (_, image):
        return convert(image, size, channels)


def convert(image: Image.Image, size, channels) -> np.ndarray:
    """A Pillow image as (height, width, channels) uint8, turned, flattened, resized.

    size: (height, width), or None to keep the picture's own.
    """
    image = _in_mode(_flatten(_turn(image)), "L" if channels == 1 else "RGB")
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], channels)


def _turn(image):
    image.load()  # a PNG may carry its EXIF behind the pixels
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - broken EXIF says nothing; the picture itself may be whole
        orientation = None
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def _flatten(image):
    """The image in mode L or RGB: 8 bits, no alpha, no palette."""
    if image.mode == "F" or (image.mode == "I" and not _is_16_bit(image)):
        raise Unreadable(f"pixel type {image.mode} (32 bits a value) is not supported")
    if _is_16_bit(image):
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        gray = is_gray(image)
        image = _in_mode(image, "RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        return paper.getchannel("R") if gray else paper
    return _in_mode(image, "L" if is_gray(image) else "RGB")


def _in_mode(image, mode):
    return image if image.mode == mode else image.convert(mode)  # Pillow copies where nothing is to be converted


def _is_16_bit(image):
    # Older versions of Pillow open 16-bit gray PNG, all of them such PGM, as mode I; neither format has 32-bit gray.
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def is_gray(image: Image.Image) -> bool:
    """True for pictures without colour: bilevel, gray, gray with alpha, 16-bit gray."""
    return image.mode in GRAY_MODES or _is_16_bit(image)


def _is_animated(image):
    # For TIFF and MPO the question alone walks the whole file, and their further frames are no animation.
    return image.format in ("GIF", "PNG", "WEBP") and getattr(image, "is_animated", False)


@contextmanager
def _opened(path):
    """(file, image) with the header read and checked; every failure inside the block leaves as Unreadable."""
    try:
        with _open_regular(path) as file:
            start = file.read(16)
            if not start:
                raise Unreadable("empty file")
            file.seek(0)
            with Image.open(file, formats=FILE_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Unreadable(f"{image.width}x{image.height} is more than {MAX_PIXELS // 10**6} million pixels")
                if not image.width * image.height:
                    raise Unreadable("no pixels")
                yield file, image
    except (Unreadable, MemoryError):
        raise
    except UnidentifiedImageError:
        raise Unreadable(f"not a picture{looks_like(start)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable(f"more than {MAX_PIXELS // 10**6} million pixels") from None
    except OSError as error:
        raise Unreadable(printable(error.strerror or error)) from None
    except Exception as error:  # noqa: BLE001 - Pillow lets SyntaxError, struct.error, KeyError and more through
        raise Unreadable(f"damaged ({printable(error) or type(error).__name__})") from None


def _open_regular(path):
    """The file for reading; refuses pipes and devices without ever waiting for one."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Unreadable("not a regular file")
    return os.fdopen(handle, "rb")


@contextmanager
def quiet_pillow():
    """Pillow's warnings silenced, but for the one about decompression bombs, which becomes an error.

    Warning filters belong to the process: enter once around all decoding, not in a worker thread.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def looks_like(start: bytes) -> str:
    """A remark of the form " (looks like PNG)" for the first 16 bytes of a well-known kind of file, else ""."""
    kinds = (
        (b"%!PS", "EPS"), (b"\xc5\xd0\xd3\xc6", "EPS"), (b"%PDF", "PDF"), (b"PK\x03\x04", "zip"), (b"\x1f\x8b", "gzip"),
        (b"<svg", "SVG"), (b"<?xml", "XML"), (b"<!DOC", "HTML"), (b"<html", "HTML"), (b"\x80\x02", "pickle"),
        (b"\x80\x03", "pickle"), (b"\x80\x04", "pickle"), (b"\x80\x05", "pickle"), (b"\x89HDF", "HDF5"),
        (b"\x93NUMPY", "npy"), (b"ID3", "MP3"), (b"\xff\xd8", "JPEG"), (b"\x89PNG", "PNG"), (b"GIF8", "GIF"),
    )  # fmt: skip
    if start[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return " (looks like HEIC or AVIF: save it as JPEG or PNG)"
    return next((f" (looks like {kind})" for magic, kind in kinds if start.lower().startswith(magic.lower())), "")
