"""npz: the three sets of keys, documented conversions, and archives that lie."""

import io
import os
import pickle
import struct
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import data
from minicnn.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 5, 6, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3


def save(tmp_path, **arrays):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, **arrays)
    return path


def joined(dataset):
    """(pixels, labels, files) over all parts, in the order of files."""
    parts = (dataset.train, dataset.val, dataset.test)
    order = np.argsort(np.concatenate([part.files for part in parts]))
    pixels = np.concatenate([part.pixels for part in parts])[order]
    return pixels, np.concatenate([part.labels for part in parts])[order]


def test_medmnist_keys(tmp_path):
    path = save(
        tmp_path,
        train_images=IMAGES[:18], train_labels=LABELS[:18, None],
        val_images=IMAGES[18:24], val_labels=LABELS[18:24, None],
        test_images=IMAGES[24:], test_labels=LABELS[24:, None],
    )  # fmt: skip
    got = data.load(path)
    for part, rows in ((got.train, slice(18)), (got.val, slice(18, 24)), (got.test, slice(24, 30))):
        np.testing.assert_array_equal(part.pixels, IMAGES[rows])
        np.testing.assert_array_equal(part.labels, LABELS[rows])
    assert got.classes == ["0", "1", "2"]


def test_keras_keys_take_val_from_train(tmp_path):
    got = data.load(save(tmp_path, x_train=IMAGES[:24], y_train=LABELS[:24], x_test=IMAGES[24:], y_test=LABELS[24:]))
    np.testing.assert_array_equal(got.test.pixels, IMAGES[24:])
    assert len(got.val) >= 3 and len(got.train) + len(got.val) == 24


@pytest.mark.parametrize(
    "labels", [LABELS, LABELS[:, None], np.eye(3)[LABELS], LABELS.astype(float), LABELS.astype(">u2")]
)
def test_forms_of_labels(tmp_path, labels):
    pixels, got = joined(data.load(save(tmp_path, images=IMAGES, labels=labels)))
    np.testing.assert_array_equal(got, LABELS)
    np.testing.assert_array_equal(pixels, IMAGES)


def test_text_labels(tmp_path):
    got = data.load(save(tmp_path, images=IMAGES, labels=np.array(["bee", "ant", "a\nb"])[LABELS]))
    assert got.classes == ["a\\nb", "ant", "bee"]
    np.testing.assert_array_equal(joined(got)[1], (2 - LABELS))


GRAY = IMAGES[..., 0]
SAME = {
    "gray": GRAY,
    "fortran": np.asfortranarray(GRAY),
    "int64": GRAY.astype(np.int64),
    "big-endian": GRAY.astype(">i4"),
    "gray last": GRAY[..., None],
    "channels first": GRAY[:, None],
}


@pytest.mark.parametrize("form", SAME)
def test_forms_of_gray_images(tmp_path, form):
    got = data.load(save(tmp_path, images=SAME[form], labels=LABELS))
    assert got.shape == (5, 6, 1)
    np.testing.assert_array_equal(joined(got)[0][..., 0], GRAY)


def test_colour_channels_first_and_alpha(tmp_path):
    np.testing.assert_array_equal(
        joined(data.load(save(tmp_path, images=IMAGES.transpose(0, 3, 1, 2), labels=LABELS)))[0], IMAGES
    )
    alpha = np.full((30, 5, 6, 1), 255, np.uint8)
    alpha[:, 2] = 0
    on_white = IMAGES.copy()
    on_white[:, 2] = 255
    pixels = joined(data.load(save(tmp_path, images=np.concatenate([IMAGES, alpha], axis=3), labels=LABELS)))[0]
    np.testing.assert_array_equal(pixels, on_white)
    fractions = np.concatenate([IMAGES, alpha], axis=3) / 255
    pixels = joined(data.load(save(tmp_path, images=fractions, labels=LABELS)))[0]
    np.testing.assert_allclose(pixels, on_white / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("images", "expected", "white"),
    [
        (GRAY / 255, GRAY / 255, 1.0),
        (GRAY.astype(np.float64), GRAY / 255, 255.0),
        (GRAY.astype(np.float16), GRAY / 255, 255.0),
        (GRAY.astype(np.uint16) * 257, GRAY / 255, 1.0),
        (GRAY > 99, (GRAY > 99) * 255, 1.0),
    ],
)
def test_number_types(tmp_path, images, expected, white):
    got = data.load(save(tmp_path, images=images, labels=LABELS))
    np.testing.assert_allclose(joined(got)[0][..., 0], expected, rtol=1e-6)
    assert got.preprocessing["white"] == white
    raw = images[got.train.files]
    np.testing.assert_array_equal(data.prepare(raw, got.preprocessing), got.train.images)


NAN = GRAY.astype(np.float32).copy()
NAN[3, 1, 2] = np.nan
REFUSED = {
    "NaN": ({"images": NAN, "labels": LABELS}, r"nan at \(3, 1, 2, 0\)|nan at \(3, 1, 2\)"),
    "range": ({"images": GRAY - 200.0, "labels": LABELS}, "values from -200"),
    "integer range": ({"images": GRAY.astype(int) + 1, "labels": LABELS}, "1 to 256; expected 0..255"),
    "complex": ({"images": GRAY * 1j, "labels": LABELS}, "type complex128"),
    "objects": ({"images": np.array([None] * 30), "labels": LABELS}, "Python objects"),
    "structured": ({"images": np.zeros(30, "u1,u1"), "labels": LABELS}, "values of type"),
    "text images": ({"images": np.full((30, 2, 2), "a"), "labels": LABELS}, "<U1; expected"),
    "shape": ({"images": IMAGES.reshape(30, -1), "labels": LABELS}, r"shape \(30, 90\) is no stack"),
    "volumes": ({"images": np.zeros((30, 8, 8, 8), np.uint8), "labels": LABELS}, r"\(30, 8, 8, 8\)"),
    "lengths": ({"images": GRAY, "labels": LABELS[:29]}, "30 images but 29 labels"),
    "several labels": ({"images": GRAY, "labels": np.ones((30, 3))}, "several labels an image"),
    "fractions": ({"images": GRAY, "labels": LABELS + 0.5}, "fractions"),
    "negative": ({"images": GRAY, "labels": LABELS - 1}, "label -1 at 0"),
    "label shape": ({"images": GRAY, "labels": np.zeros((30, 2, 2))}, r"\(30, 2, 2\)"),
    "missing labels": ({"x_train": GRAY, "y_train": LABELS, "x_test": GRAY}, "has x_test but no y_test"),
    "other keys": ({"a": GRAY, "b": LABELS}, "has the arrays a, b; expected train_images"),
    "empty": ({"images": GRAY[:0], "labels": LABELS[:0]}, "0 images"),
    "one class": ({"images": GRAY, "labels": LABELS * 0}, "Only one class found"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_refused_arrays(tmp_path, fault):
    arrays, message = REFUSED[fault]
    with pytest.raises(DataError, match=message) as caught:
        data.load(save(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


def npy(header: str, body=b"", version=1, length=None):
    """A .npy file with a header written by hand."""
    text = header.encode("latin1")
    width = "<H" if version == 1 else "<I"
    return (
        b"\x93NUMPY" + bytes([version, 0]) + struct.pack(width, len(text) if length is None else length) + text + body
    )


def header(shape, descr="|u1"):
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"


LYING = {
    "larger": npy(header((30, 2, 2)), bytes(10)),
    "smaller": npy(header((2, 2, 2)), bytes(10)),
    "overflow": npy(header((2**32, 2**32, 2**32)), bytes(10)),
    "negative": npy(header((-1, 2, 2)), bytes(10)),
    "objects": npy(header((10,), "|O"), pickle.dumps([1])),
    "no python literal": npy("__import__('os')\n", bytes(10)),
    "deep": npy("[" * 9000 + "\n", bytes(10)),
    "long header": npy("", bytes(10), 2, 2**31),
    "truncated header": npy("{'descr'", b"", 1, 500),
    "version": npy(header((10,)), bytes(10), 7),
    "not npy": b"\x80\x04" + bytes(30),
}


@pytest.mark.parametrize("lie", LYING)
def test_lying_members(tmp_path, lie):
    path = tmp_path / "set.npz"
    labels = io.BytesIO()
    np.save(labels, LABELS)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", LYING[lie])
        archive.writestr("labels.npy", labels.getvalue())
    with warnings.catch_warnings(), pytest.raises(DataError, match="set.npz"):
        warnings.simplefilter("ignore")
        data.load(path)


def test_nothing_in_a_pickle_runs(tmp_path):
    class Marker:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "set.npz"
    np.savez(path, images=np.array([Marker()], dtype=object), labels=LABELS)
    with pytest.raises(DataError, match="Python objects"):
        data.load(path)
    path.write_bytes(pickle.dumps(Marker()))
    with pytest.raises(DataError, match="looks like pickle"):
        data.load(path)
    path.rename(tmp_path / "set.pkl")
    with pytest.raises(DataError, match="pickle files are refused"):
        data.load(tmp_path / "set.pkl")
    assert not (tmp_path / "ran").exists()


def test_archive_faults(tmp_path):
    path = save(tmp_path, images=GRAY, labels=LABELS)
    whole = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("images.npy", b"again")
    with pytest.raises(DataError, match="there 2 times"):
        data.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(20_000):
            archive.writestr(f"{n}.npy", b"")
    with pytest.raises(DataError, match="20000 members"):
        data.load(path)
    for cut in range(0, len(whole), 97):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError):
            data.load(path)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_give_data_or_a_data_error(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "fuzz.npz"
    np.savez(path, images=GRAY, labels=LABELS)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data.load(path)
        except DataError as error:
            assert "\n" not in str(error)
