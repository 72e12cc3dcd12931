"""load: names, messages, the shipped digits, made shapes, fingerprint, and one preprocessing for all ways in."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from data_files import write_mnist, write_photos
from PIL import Image

from minicnn import data
from minicnn.errors import DataError, UsageError


def test_digits():
    got = data.load("digits")
    assert got.classes == list("0123456789") and got.shape == (8, 8, 1) and got.name == "digits"
    parts = [got.train, got.val, got.test]
    assert sum(map(len, parts)) == 1797 and [len(part) for part in parts] == [1412, 164, 221]
    labels = np.concatenate([part.labels for part in parts])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert got.train.images.dtype == np.float32 and got.train.labels.dtype == np.int64
    assert set(np.unique(got.train.pixels)) == set(np.rint(np.arange(17) * 255 / 16).astype(int))
    assert abs(got.train.images.mean()) < 1e-5 and abs(got.train.images.std() - 1) < 1e-5
    head, parts = str(got).splitlines()
    assert head == "digits: 10 classes, 1 797 images, gray, 8x8"
    assert parts == "  train 1 412   val 164   test 221 (not opened during training)"


def test_a_path_wins_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert data.load("digits").shape == (8, 8, 1)
    write_photos(tmp_path / "digits", {"a": 4, "b": 4}, side=(5, 5))
    assert data.load("digits").shape == (5, 5, 3)
    assert data.load("shapes", count=30).name == "shapes"


def test_shapes():
    got = data.shapes(side=16, classes=10, count=60, seed=3, channels=1)
    assert got.shape == (16, 16, 1) and len(got.classes) == len(set(got.classes)) == 10
    assert got.summary["per_class"] == dict.fromkeys(got.classes, 6)
    again, other = data.load("shapes", side=16, classes=10, count=60, seed=3, channels=1), data.shapes(16, 10, 60, 4, 1)
    assert again.fingerprint == got.fingerprint != other.fingerprint
    assert data.load("shapes").shape == (32, 32, 3)


def test_shapes_do_not_depend_on_their_count():
    few, many = data.shapes(count=300, split=(100, 0, 0)), data.shapes(count=700, split=(100, 0, 0))
    np.testing.assert_array_equal(few.train.pixels, many.train.pixels[:300])


def test_shapes_cannot_be_told_by_brightness_but_by_form():
    got = data.shapes(side=16, classes=8, count=1600, channels=1, split=(100, 0, 0))
    pixels, labels = got.train.pixels[..., 0].astype(float), got.train.labels
    means = np.array([pixels[labels == label].mean() for label in range(8)])
    assert means.std() < 0.1 * pixels.mean(axis=(1, 2)).std() * 8
    contrast = abs(pixels - np.median(pixels, axis=(1, 2), keepdims=True))
    forms = np.array([contrast[labels == label].mean(axis=0) for label in range(8)])
    distances = [abs(forms[a] - forms[b]).max() for a in range(8) for b in range(a)]
    assert min(distances) > 10


@pytest.mark.parametrize("options", [{"side": 7}, {"classes": 1}, {"count": 11}, {"channels": 2}])
def test_impossible_shapes(options):
    with pytest.raises(UsageError, match="expected side >= 8"):
        data.shapes(**options)


def test_did_you_mean(tmp_path, monkeypatch):
    write_photos(tmp_path / "photos", {"a": 3, "b": 3})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        data.load("phtos/")
    assert str(caught.value) == "photos/ exists. Did you mean: minicnn train photos/ ?" and caught.value.exit_code == 2
    with pytest.raises(UsageError, match="minicnn evaluate runs/1 digits"):
        data.load("digts", command="minicnn evaluate runs/1")
    with pytest.raises(UsageError, match="No data 'zzz': no such file or folder"):
        data.load("zzz")
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(DataError, match="note.txt: not a data set that can be read; expected a folder"):
        data.load("note.txt")


@pytest.mark.parametrize("size", [0, -3, 5000, (8, 0), (8, 8, 8)])
def test_impossible_size(size):
    with pytest.raises(UsageError, match="size"):
        data.load("digits", size=size)


def test_options_of_other_data():
    with pytest.raises(TypeError, match="options of shapes only"):
        data.load("digits", count=5)


def test_every_format_is_in_the_one_list(tmp_path):
    write_mnist(tmp_path)
    write_photos(tmp_path / "photos", {"a": 3, "b": 3})
    np.savez(tmp_path / "a.npz", images=np.zeros(1))
    sources = {
        "digits": "digits",
        "shapes": "shapes",
        "npz": tmp_path / "a.npz",
        "idx": tmp_path,
        "folder": tmp_path / "photos",
    }
    first = {name: next(f.name for f in data.FORMATS if f.detects(source)) for name, source in sources.items()}
    assert first == {name: name for name in sources} and list(sources) == [f.name for f in data.FORMATS]


def test_statistics_come_from_train_only(tmp_path):
    write_mnist(tmp_path)
    got = data.load(tmp_path)
    pixels = got.train.pixels / 255
    assert got.preprocessing["mean"] == pytest.approx([pixels.mean()], rel=1e-12)
    assert got.preprocessing["std"] == pytest.approx([pixels.std()], rel=1e-12)
    assert data.load(tmp_path, split=(50, 50, 0)).preprocessing["mean"] != got.preprocessing["mean"]


def test_fingerprint(tmp_path):
    write_photos(tmp_path / "a", {"x": 5, "y": 5})
    os.rename(tmp_path / "a", tmp_path / "b")
    before = data.load(tmp_path / "b").fingerprint
    os.utime(tmp_path / "b" / "x" / "000.png")
    assert data.load(tmp_path / "b").fingerprint == before
    assert data.load(tmp_path / "b", size=5).fingerprint != before
    assert data.load(tmp_path / "b", split=(50, 25, 25)).fingerprint != before
    Image.new("RGB", (12, 10)).save(tmp_path / "b" / "x" / "000.png")
    changed = data.load(tmp_path / "b").fingerprint
    assert changed != before
    os.rename(tmp_path / "b" / "x" / "000.png", tmp_path / "b" / "y" / "900.png")
    assert data.load(tmp_path / "b").fingerprint not in (before, changed)


def test_fingerprint_sees_labels(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 3), dtype=np.uint8)
    prints = []
    for labels in (np.arange(40) % 2, 1 - np.arange(40) % 2):
        np.savez(tmp_path / "a.npz", images=images, labels=labels)
        prints.append(data.load(tmp_path / "a.npz").fingerprint)
    assert prints[0] != prints[1]


def test_paths_images_and_arrays_are_prepared_alike(tmp_path):
    write_photos(tmp_path, {"a": 6, "b": 6}, side=(20, 30))
    got = data.load(tmp_path, size=11)
    paths = [tmp_path / file for file in got.test.files]
    pictures = [Image.open(path) for path in paths]
    for raw in (paths, [str(p) for p in paths], pictures, [np.asarray(p) for p in pictures], np.stack(pictures)):
        np.testing.assert_array_equal(data.prepare(raw, got.preprocessing), got.test.images)


def test_data_like_a_model(tmp_path):
    write_photos(tmp_path / "one", {"a": 6, "b": 6, "c": 6}, side=(20, 30))
    write_photos(tmp_path / "two", {"c": 9, "b": 4}, side=(9, 9), mode="L")
    model = data.load(tmp_path / "one", size=7)
    got = data.load(tmp_path / "two", like=model)
    assert got.classes == ["a", "b", "c"] and got.preprocessing == model.preprocessing
    assert set(got.train.labels) == {1, 2} and got.train.images.shape[1:] == (7, 7, 3)
    assert [file[0] for file in got.train.files] == ["abc"[label] for label in got.train.labels]
    write_photos(tmp_path / "two", {"d": 4})
    with pytest.raises(DataError, match="class 'd' is none of the model's 3"):
        data.load(tmp_path / "two", like=model)
    assert data.load(tmp_path / "one", like=model).fingerprint == model.fingerprint


def test_colour_data_for_a_gray_model(tmp_path):
    write_photos(tmp_path / "gray", {"a": 6, "b": 6}, mode="L")
    write_photos(tmp_path / "colour", {"a": 6, "b": 6})
    model = data.load(tmp_path / "gray")
    got = data.load(tmp_path / "colour", like=model)
    assert got.shape == model.shape == (10, 10, 1) and model.summary["notes"] == []
    assert got.summary["notes"] == ["colour pictures were converted to gray, as the net takes gray ones"]
    paths = [tmp_path / "colour" / file for file in got.train.files]
    np.testing.assert_array_equal(data.prepare(paths, model.preprocessing), got.train.images)


def test_plain_data_for_the_model_file(tmp_path):
    got = data.load("digits")
    data.check_preprocessing(json.loads(json.dumps(got.preprocessing)))
    assert json.loads(json.dumps(got.summary))["per_class"]["3"] == 183


def test_no_numba_and_no_click():
    code = "import sys, minicnn.data; minicnn.data.load('digits'); print({'numba', 'click', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
