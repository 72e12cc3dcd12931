"""One picture: golden pixel values of every mode, EXIF turns, damaged and lying files."""

import io
import os
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image

from minicnn.data.picture import Unreadable, inspect, read

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GRAY = RGB[..., 0]


def saved(tmp_path, image, ending="png", **options):
    path = tmp_path / f"picture.{ending}"
    image.save(path, **options)
    return path


def read_own_size(path, channels=3):
    return read(path, inspect(path).size, channels)


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "tiff", "ppm", "PNG", ""])
def test_lossless_formats(tmp_path, ending):
    data = io.BytesIO()
    Image.fromarray(RGB).save(data, ending.lower() or "png", lossless=True)
    path = tmp_path / f"a.{ending}"
    path.write_bytes(data.getvalue())
    np.testing.assert_array_equal(read_own_size(path), RGB)
    header = inspect(path)
    assert (header.size, header.gray, header.animated) == ((6, 9), False, False)


def test_gray_stays_one_channel_and_converts(tmp_path):
    path = saved(tmp_path, Image.fromarray(GRAY))
    assert inspect(path).gray
    np.testing.assert_array_equal(read_own_size(path, 1)[..., 0], GRAY)
    np.testing.assert_array_equal(read_own_size(path, 3), np.repeat(GRAY[..., None], 3, axis=2))
    luma = np.rint(RGB @ [0.299, 0.587, 0.114])
    assert abs(read_own_size(saved(tmp_path, Image.fromarray(RGB)), 1)[..., 0] - luma).max() <= 1


def golden():
    """name: (image, channels, expected value of every pixel, is gray)"""
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    half = 100 * 128 / 255 + 127
    return {
        "1": (Image.new("1", (4, 4), 1), 1, [255], True),
        "LA opaque": (Image.new("LA", (4, 4), (100, 255)), 1, [100], True),
        "LA half": (Image.new("LA", (4, 4), (100, 128)), 1, [half], True),
        "LA clear": (Image.new("LA", (4, 4), (100, 0)), 3, [255, 255, 255], True),
        "RGBA half": (Image.new("RGBA", (4, 4), (100, 0, 255, 128)), 3, [half, 127, 255], False),
        "RGBA clear": (Image.new("RGBA", (4, 4), (9, 9, 9, 0)), 3, [255, 255, 255], False),
        "P": (palette, 3, [10, 200, 30], False),
        "16 black": (Image.fromarray(np.full((4, 4), 0, np.uint16)), 1, [0], True),
        "16 middle": (Image.fromarray(np.full((4, 4), 257 * 100 + 128, np.uint16)), 1, [100], True),
        "16 above middle": (Image.fromarray(np.full((4, 4), 257 * 100 + 129, np.uint16)), 1, [101], True),
        "16 white": (Image.fromarray(np.full((4, 4), 65535, np.uint16)), 3, [255] * 3, True),
    }


@pytest.mark.parametrize("name", golden())
def test_golden_values(tmp_path, name):
    image, channels, expected, gray = golden()[name]
    path = saved(tmp_path, image)
    assert inspect(path).gray == gray
    pixels = read_own_size(path, channels)
    np.testing.assert_allclose(pixels, np.broadcast_to(expected, pixels.shape), atol=0.5)


def test_transparent_colour_of_palette_and_rgb(tmp_path):
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    path = saved(tmp_path, palette, transparency=1)
    np.testing.assert_array_equal(read_own_size(path), 255)
    path = saved(tmp_path, Image.new("RGB", (4, 4), (1, 2, 3)), transparency=(1, 2, 3))
    np.testing.assert_array_equal(read_own_size(path), 255)


def test_16_bit_keeps_its_shades(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    by_hand = tmp_path / "ramp.pgm"
    by_hand.write_bytes(b"P5 16 16 65535\n" + ramp.astype(">u2").tobytes())
    for path in (by_hand, *(saved(tmp_path, Image.fromarray(ramp), ending) for ending in ("png", "tiff"))):
        np.testing.assert_array_equal(read_own_size(path, 1)[..., 0], np.rint(ramp / 257))


def test_cmyk_and_progressive_jpeg(tmp_path):
    cmyk = saved(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "jpg", quality=95)
    np.testing.assert_allclose(read_own_size(cmyk), np.broadcast_to([255, 0, 0], (16, 16, 3)), atol=4)
    smooth = Image.fromarray(np.add.outer(np.arange(40), np.arange(40)).astype(np.uint8) * 3)
    plain = read_own_size(saved(tmp_path, smooth, "jpg", quality=95), 1)
    progressive = read_own_size(saved(tmp_path, smooth, "jpg", quality=95, progressive=True), 1)
    np.testing.assert_array_equal(plain, progressive)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_32_bit_pixels_are_refused(tmp_path, dtype):
    path = saved(tmp_path, Image.fromarray(np.ones((4, 4), dtype)), "tiff")
    with pytest.raises(Unreadable, match="32 bits a value"):
        read_own_size(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_give_the_same_pixels(tmp_path, orientation):
    # Exif 2.32, tag 0x0112: which seen sides the stored row 0 and column 0 are; done to the seen picture with NumPy.
    stored = {
        1: RGB,  # top, left
        2: RGB[:, ::-1],  # top, right
        3: RGB[::-1, ::-1],  # bottom, right
        4: RGB[::-1],  # bottom, left
        5: RGB.transpose(1, 0, 2),  # left, top
        6: np.rot90(RGB),  # right, top
        7: RGB[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
        8: np.rot90(RGB, -1),  # left, bottom
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(read(path, (6, 9), 3), RGB)
    upright = saved(tmp_path, Image.fromarray(RGB), "bmp")
    np.testing.assert_array_equal(read(path, (4, 5), 3), read(upright, (4, 5), 3))


def test_broken_exif_turns_nothing(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB), exif=b"Exif\0\0XX" + bytes(20))
    np.testing.assert_array_equal(read(path, (6, 9), 3), RGB)


def test_resizing_is_antialiased(tmp_path):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255  # taking every eighth column would give all black or all white
    small = read(saved(tmp_path, Image.fromarray(stripes)), (8, 8), 1)
    assert abs(small.astype(int) - 127).max() < 12


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_animations_give_their_first_frame(tmp_path, ending):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
    path = saved(tmp_path, frames[0], ending, save_all=True, append_images=frames[1:], lossless=True)
    assert inspect(path).animated
    np.testing.assert_array_equal(read_own_size(path), np.broadcast_to([255, 0, 0], (4, 4, 3)))


def truncations(content):
    return [content[: len(content) * percent // 100] for percent in range(100)]


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_truncated_files_are_unreadable(tmp_path, ending):
    noise = Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    path = saved(tmp_path, noise, ending)
    content = path.read_bytes()
    for cut in truncations(content):
        path.write_bytes(cut)
        with pytest.raises(Unreadable):
            read(path, (8, 8), 3)
    path.write_bytes(content)
    assert read(path, (8, 8), 3).shape == (8, 8, 3)


def png(width, height, body, depth=8, colour=0, extra=b""):
    """A PNG with a header written by hand."""

    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, 0])
    ihdr, idat, iend = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(body, 9)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + ihdr + extra + idat + iend


LIES = {
    "empty": (b"", "empty file"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "looks like EPS"),
    "html": (b"<!DOCTYPE html><html></html>", "looks like HTML"),
    "svg": (b"<svg xmlns='x'></svg>", "looks like SVG"),
    "zip": (b"PK\x03\x04" + bytes(30), "looks like zip"),
    "pickle": (b"\x80\x04\x95" + bytes(30), "looks like pickle"),
    "heic": (bytes(4) + b"ftypheic" + bytes(20), "save it as JPEG or PNG"),
    "text": (b"hello, this is no picture", "not a picture$"),
    "81 million pixels": (png(9000, 9000, bytes(1126 * 9000), 1), "9000x9000 is more than 50 million pixels"),
    "400 million": (png(20000, 20000, b""), "more than 50 million pixels"),
    "2^31": (png(2**31 - 1, 2**31 - 1, b""), "more than 50 million pixels|damaged"),
    "zero": (png(0, 4, b""), "."),
}


@pytest.mark.parametrize("name", LIES)
def test_lying_files_start_nothing(tmp_path, name, monkeypatch):
    content, message = LIES[name]
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    started = []
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda *a, **k: started.append(a))
    with pytest.raises(Unreadable, match=message) as caught:
        read(path, (8, 8), 3)
    assert not started and "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(Unreadable, match="not a regular file"):
        inspect(tmp_path / "pipe.jpg")
    with pytest.raises(Unreadable, match="not a regular file"):
        inspect(tmp_path)
    with pytest.raises(Unreadable, match="No such file"):
        inspect(tmp_path / "gone.jpg")
