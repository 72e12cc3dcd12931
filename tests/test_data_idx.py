"""IDX: MNIST's names and parts, and every way such a file can lie."""

import gzip
import struct

import numpy as np
import pytest
from data_files import idx_bytes, write_idx, write_mnist
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import data
from minicnn.data.idx import read_idx
from minicnn.errors import DataError


def all_rows(dataset):
    """{pixel bytes: label} over all parts."""
    parts = (dataset.train, dataset.val, dataset.test)
    return {p.tobytes(): int(label) for part in parts for p, label in zip(part.pixels, part.labels, strict=True)}


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_folder_with_train_and_t10k(tmp_path, ending):
    images, labels, test_images, test_labels = write_mnist(tmp_path, ending=ending)
    got = data.load(tmp_path)
    assert got.classes == ["0", "1", "2"] and got.shape == (6, 6, 1)
    assert len(got.train) + len(got.val) == 60 and len(got.val) >= 3
    np.testing.assert_array_equal(got.test.pixels[..., 0], test_images)
    np.testing.assert_array_equal(got.test.labels, test_labels)
    np.testing.assert_array_equal(got.train.pixels[..., 0], images[got.train.files])
    np.testing.assert_array_equal(got.train.labels, labels[got.train.files])
    np.testing.assert_array_equal(got.val.labels, labels[got.val.files])
    assert sorted(got.train.files + got.val.files) == list(range(60))


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_one_file_finds_its_partner_and_is_split(tmp_path, name):
    images, labels, *_ = write_mnist(tmp_path)
    got = data.load(tmp_path / name)
    assert len(got.train) + len(got.val) + len(got.test) == 60 and len(got.test) >= 3
    assert all_rows(got) == {p.tobytes(): int(label) for p, label in zip(images[..., None], labels, strict=True)}


def test_other_spellings_and_colour(tmp_path):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)
    write_idx(tmp_path / "emnist-letters-train-images.idx4-ubyte", images)
    write_idx(tmp_path / "emnist-letters-train-labels.idx1-ubyte.gz", np.repeat([7, 9, 26], 4))
    got = data.load(tmp_path)
    assert got.classes == ["7", "9", "26"] and got.shape == (5, 4, 3)
    assert set(got.train.labels) == {0, 1, 2}


def test_size_resizes(tmp_path):
    write_mnist(tmp_path)
    assert data.load(tmp_path, size=9).train.images.shape[1:] == (9, 9, 1)
    assert data.load(tmp_path, size=(4, 7)).shape == (4, 7, 1)


def header(*sizes, kind=8):
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, kind, len(sizes), *sizes)


BAD_FILES = {
    "empty": (b"", "begins with nothing"),
    "magic": (b"\1\0\x08\x03" + bytes(20), "not an IDX file"),
    "pickle": (b"\x80\x04\x95abc", "looks like pickle"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(20), "looks like PNG"),
    "type": (header(1, 1, 1, kind=0x0D) + bytes(4), r"0x0d \(float\)"),
    "unknown type": (header(1, 1, 1, kind=0x42) + bytes(4), "unknown"),
    "rank 0": (header(), "rank 0"),
    "rank 255": (b"\0\0\x08\xff" + bytes(2000), "rank 255"),
    "labels as images": (header(3) + bytes(3), r"a labels file \(rank 1\)"),
    "short header": (header(2, 2, 2)[:9], "9 of 16 bytes"),
    "fewer bytes": (header(3, 2, 2) + bytes(11), "3x2x2 = 12 bytes, but 11"),
    "more bytes": (header(3, 2, 2) + bytes(13), "3x2x2 = 12 bytes, but 13"),
    "huge": (header(*[2**32 - 1] * 3), f"= {(2**32 - 1) ** 3} bytes, but 0"),
    "huge packed": (gzip.compress(header(*[2**32 - 1] * 3)), "far more than"),
    "packed fewer": (gzip.compress(header(3, 2, 2) + bytes(11)), "truncated, 11 of 12 bytes"),
    "packed more": (gzip.compress(header(3, 2, 2) + bytes(13)), "more than the declared 12 bytes"),
    "packed truncated": (
        gzip.compress(header(9, 9, 9) + np.random.default_rng(0).bytes(729))[:-20],
        "damaged gzip|truncated",
    ),
    "packed twice": (gzip.compress(gzip.compress(header(3, 2, 2) + bytes(12))), "gzip inside gzip"),
    "garbage behind gzip": (gzip.compress(header(3, 2, 2) + bytes(12)) + b"garbage", "damaged gzip"),
    "one bit flipped": (b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 30, "damaged gzip"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_bad_file(tmp_path, fault):
    content, message = BAD_FILES[fault]
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    write_idx(tmp_path / "train-labels-idx1-ubyte", [0, 1, 2])
    for source in (tmp_path, path):
        with pytest.raises(DataError, match=message) as caught:
            data.load(source)
        assert "\n" not in str(caught.value) and "train-images-idx3-ubyte" in str(caught.value)


def test_gzip_of_several_members(tmp_path):
    content = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(content[:9]) + gzip.compress(content[9:]) + gzip.compress(b""))
    np.testing.assert_array_equal(read_idx(path).ravel(), np.arange(24))


def test_images_and_labels_disagree(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(59))
    with pytest.raises(DataError, match="60 images but 59 labels"):
        data.load(tmp_path)


def test_label_that_train_has_not(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", [0, 1, 2, 7] * 5)
    with pytest.raises(DataError, match=r"label 7 \(image 3\).*3 labels: 0 to 2"):
        data.load(tmp_path)


def test_parts_of_different_size(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros((20, 6, 7)))
    with pytest.raises(DataError, match=r"\(6, 7, 1\).*\(6, 6, 1\)"):
        data.load(tmp_path)


@pytest.mark.parametrize(
    ("remove", "message"),
    [("train-labels-idx1-ubyte", "no train-labels-idx1-ubyte"), ("train-images-idx3-ubyte", "no training images")],
)
def test_missing_file(tmp_path, remove, message):
    write_mnist(tmp_path)
    (tmp_path / remove).unlink()
    with pytest.raises(DataError, match=message):
        data.load(tmp_path)


def test_two_sets_in_one_folder(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "other-train-images-idx3-ubyte", np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match="two sets in one folder"):
        data.load(tmp_path)


def test_no_images_and_one_class(tmp_path):
    write_mnist(tmp_path, train=0)
    with pytest.raises(DataError, match="0 images"):
        data.load(tmp_path)
    write_mnist(tmp_path, classes=1)
    with pytest.raises(DataError, match=r"Only one class found \(0\)\. A classifier needs at least two\."):
        data.load(tmp_path)


sizes = st.lists(st.one_of(st.integers(0, 4), st.sampled_from([255, 2**16, 2**31, 2**32 - 1])), max_size=5)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([8, 9, 13, 0]), st.integers(0, 5), sizes, st.binary(max_size=80), st.booleans(), st.integers(0, 40)
)
def test_any_bytes_give_an_array_or_a_data_error(tmp_path_factory, kind, rank, sizes, body, packed, cut):
    content = bytes([0, 0, kind, rank]) + b"".join(size.to_bytes(4, "big") for size in sizes) + body
    content = gzip.compress(content) if packed else content
    path = tmp_path_factory.getbasetemp() / "fuzz-images-idx3-ubyte"
    path.write_bytes(content[: len(content) - cut])
    try:
        array = read_idx(path)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert cut == 0 and kind == 8 and array.ndim == rank and array.dtype == np.uint8
