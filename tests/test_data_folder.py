"""Folders of pictures: layouts, order of classes, junk, links, strange names, damaged files, messages."""

import os
import shutil

import numpy as np
import pytest
from data_files import write_photos
from PIL import Image

from minicnn import data
from minicnn.errors import DataError, EnvironmentProblem


def labelled(dataset):
    """{file: (class name, part)} over all parts."""
    return {
        file: (dataset.classes[label], part)
        for part in ("train", "val", "test")
        for file, label in zip(getattr(dataset, part).files, getattr(dataset, part).labels, strict=True)
    }


def test_flat_folder(tmp_path):
    written = write_photos(tmp_path, {"bee": 12, "ant": 9}, side=(8, 8))
    got = data.load(tmp_path)
    assert got.classes == ["ant", "bee"] and got.shape == (8, 8, 3) and got.name == tmp_path.name
    found = labelled(got)
    assert {file: name for file, (name, _) in found.items()} == {file: file.split("/")[0] for file in written}
    for part in (got.train, got.val, got.test):
        assert len(part) and set(part.labels) == {0, 1}
        for pixels, file in zip(part.pixels, part.files, strict=True):
            np.testing.assert_array_equal(pixels, written[file])
    assert got.summary["parts"] == {"train": len(got.train), "val": len(got.val), "test": len(got.test)}
    assert got.summary["per_class"] == {"ant": 9, "bee": 12}


def test_train_val_test_folders(tmp_path):
    for part, count in (("train", 6), ("valid", 3), ("Test", 2)):
        write_photos(tmp_path / part, {"b": count, "a": count}, seed=count)
    found = labelled(data.load(tmp_path))
    expected = {"train": "train", "valid": "val", "Test": "test"}
    assert {file.split("/")[0]: part for file, (_, part) in found.items()} == expected
    assert len(found) == 22 and all(file.split("/")[1] == name for file, (name, _) in found.items())


def test_missing_parts_come_out_of_train(tmp_path):
    write_photos(tmp_path / "train", {"a": 9, "b": 9})
    write_photos(tmp_path / "test", {"a": 4, "b": 4}, seed=1)
    found = labelled(data.load(tmp_path))
    assert {part for file, (_, part) in found.items() if file.startswith("test/")} == {"test"}
    assert {part for file, (_, part) in found.items() if file.startswith("train/")} == {"train", "val"}


def test_a_class_may_be_called_test(tmp_path):
    write_photos(tmp_path, {"test": 6, "other": 6})
    assert data.load(tmp_path).classes == ["other", "test"]


def test_order_of_classes(tmp_path):
    write_photos(tmp_path / "numbers", {"10": 3, "2": 3, "1": 3})
    assert data.load(tmp_path / "numbers").classes == ["1", "2", "10"]
    write_photos(tmp_path / "words", {"b": 3, "C": 3, "10": 3, "2": 3})
    assert data.load(tmp_path / "words").classes == ["10", "2", "C", "b"]


def test_default_size_and_sizes_on_the_screen(tmp_path):
    write_photos(tmp_path / "big", {"a": 4, "b": 4}, side=(60, 90))
    write_photos(tmp_path / "big", {"c": 3}, side=(70, 100))
    got = data.load(tmp_path / "big")
    assert got.shape == (48, 48, 3) and got.summary["sizes"] == [(60, 90), (70, 100)]
    assert str(got).startswith(f"{tmp_path}/big: 3 classes, 11 images, RGB, 90x60 to 100x70 -> 48x48\n  train ")
    write_photos(tmp_path / "small", {"a": 4, "b": 3}, side=(20, 33))
    assert data.load(tmp_path / "small").shape == (20, 20, 3)
    assert data.load(tmp_path / "small", size=25).shape == (25, 25, 3)


def test_gray_sets_keep_one_channel_and_mixed_ones_get_three(tmp_path):
    written = write_photos(tmp_path, {"a": 4, "b": 4}, side=(8, 8), mode="L")
    assert data.load(tmp_path).shape == (8, 8, 1)
    write_photos(tmp_path, {"c": 4}, side=(8, 8))
    got = data.load(tmp_path)
    assert got.shape == (8, 8, 3)
    row = got.train.labels.tolist().index(0)
    np.testing.assert_array_equal(got.train.pixels[row], np.repeat(written[got.train.files[row]][..., None], 3, axis=2))


def test_one_huge_turned_photo_among_small_ones(tmp_path):
    write_photos(tmp_path, {"a": 6, "b": 6}, side=(20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    tall = np.zeros((1500, 2000, 3), np.uint8)
    tall[:, :1000] = 255  # stored left half white: turned clockwise, the top half
    Image.fromarray(tall).save(tmp_path / "a" / "huge.jpg", exif=exif)
    got = data.load(tmp_path, split=(100, 0, 0))
    pixels = got.train.pixels[got.train.files.index("a/huge.jpg")]
    assert pixels[:8].min() > 250 and pixels[-8:].max() < 5


def test_junk_is_ignored_and_the_rest_is_counted(tmp_path):
    write_photos(tmp_path, {"a": 120, "b": 120}, side=(4, 4))
    for junk in (".DS_Store", "Thumbs.db", "._x.jpg", "notes.txt", "desktop.ini"):
        (tmp_path / "a" / junk).write_bytes(b"junk")
        (tmp_path / junk).write_bytes(b"junk")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "a" / "page.jpg").write_bytes(b"<html>")
    (tmp_path / "loose.png").write_bytes(b"x")
    got = data.load(tmp_path)
    assert sorted(got.skipped) == [
        ("a/page.jpg", "not a picture (looks like HTML)"),
        ("loose.png", "in no class folder"),
    ]
    assert got.summary["images"] == 240 and "2 unreadable files skipped" in got.summary["notes"]
    with pytest.raises(DataError, match="2 of 242 files cannot be used, none is allowed with strict"):
        data.load(tmp_path, strict=True)


def test_more_than_one_percent_damaged(tmp_path):
    written = write_photos(tmp_path, {"a": 30, "b": 30})
    path = tmp_path / "a" / "003.png"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"1 of 60 files cannot be used, at most 1% may be; first a/003\.png") as caught:
        data.load(tmp_path)
    assert caught.value.hint.startswith("a/003.png: ")
    written |= write_photos(tmp_path, {"c": 60})
    got = data.load(tmp_path)
    assert [name for name, _ in got.skipped] == ["a/003.png"]
    found = labelled(got)
    assert set(found) == set(written) - {"a/003.png"}
    assert all(file.split("/")[0] == name for file, (name, _) in found.items())
    for pixels, file in zip(got.train.pixels, got.train.files, strict=True):  # rows still belong together
        np.testing.assert_array_equal(pixels, np.asarray(Image.fromarray(written[file]).resize((10, 10), 3)))


def test_folders_inside_a_class_belong_to_it(tmp_path):
    write_photos(tmp_path, {"a/2019": 3, "a/2020/june": 3, "b": 3})
    assert {name for file, (name, _) in labelled(data.load(tmp_path)).items() if file.startswith("a/")} == {"a"}


def test_links(tmp_path):
    root = tmp_path / "photos"
    write_photos(root, {"a": 150, "b": 150}, side=(4, 4))
    write_photos(tmp_path, {"outside": 5}, side=(4, 4), seed=9)
    os.symlink(root, root / "loop")
    os.symlink(root / "a", root / "a" / "again")
    os.symlink(tmp_path / "outside" / "000.png", root / "a" / "linked.png")
    os.link(root / "a" / "000.png", root / "b" / "hard.png")
    os.symlink(tmp_path / "nowhere", root / "b" / "dangling.png")
    got = data.load(root)
    assert got.classes == ["a", "b"] and got.summary["images"] == 301 and "a/linked.png" in labelled(got)
    assert dict(got.skipped) == {
        "a/again": "a link to a folder",
        "b/hard.png": "the same file as an earlier one (a link)",
        "b/dangling.png": "a link to nothing",
    }


def test_a_class_folder_may_be_a_link(tmp_path):
    write_photos(tmp_path / "photos", {"a": 5})
    write_photos(tmp_path, {"outside": 5}, seed=9)
    os.symlink(tmp_path / "outside", tmp_path / "photos" / "b")
    assert data.load(tmp_path / "photos", strict=True).summary["per_class"] == {"a": 5, "b": 5}


def test_animations_are_noted_once(tmp_path):
    write_photos(tmp_path, {"a": 5, "b": 5})
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    for name in ("x.gif", "y.gif"):
        frames[0].save(tmp_path / "a" / name, save_all=True, append_images=frames[1:], comment=name)
    assert data.load(tmp_path).summary["notes"] == ["2 animated pictures: only the first frame of each is used"]


def test_names_with_strange_characters(tmp_path):
    folders = [os.fsencode(tmp_path) + b"/" + name for name in (b"caf\xc3\xa9", b"l\x1b[31mre\nd")]
    for folder in folders:
        os.mkdir(folder)
        for n in range(60):
            Image.fromarray(np.full((4, 4), n, np.uint8)).save(os.fsdecode(os.path.join(folder, b"%d\xff.png" % n)))
    shutil.copy(os.path.join(folders[0], b"1\xff.png"), os.path.join(folders[0], b"x" * 251 + b".png"))
    open(os.path.join(folders[0], b"bad\xff\x1b.png"), "wb").close()
    got = data.load(tmp_path)
    assert got.classes == ["caf\u00e9", "l\\x1b[31mre\\nd"]
    assert got.skipped == [("caf\u00e9/bad\\xff\\x1b.png", "empty file")]
    assert sum(got.summary["parts"].values()) == 121
    assert str(got).isprintable() or all(line.isprintable() for line in str(got).splitlines())


def test_class_names_that_look_the_same(tmp_path):
    write_photos(tmp_path, {"caf\u00e9": 3, "cafe\u0301": 3})
    with pytest.raises(DataError, match="two class folders that read 'caf\u00e9'"):
        data.load(tmp_path)


def test_a_file_that_vanishes_is_listed(tmp_path, monkeypatch):
    write_photos(tmp_path, {"a": 60, "b": 60}, side=(4, 4))
    from minicnn.data import folder

    def inspect(path):
        if path.endswith("a/005.png"):
            os.unlink(path)
        return original(path)

    original = folder.picture.inspect
    monkeypatch.setattr(folder.picture, "inspect", inspect)
    assert data.load(tmp_path).skipped == [("a/005.png", "No such file or directory")]


MESSAGES = [
    ({}, "/ has no images and no class folders."),
    ({"": 4}, "/ has 4 images but no class folders. Put each class in its own folder."),
    ({"cats": 4}, "Only one class found (cats). A classifier needs at least two."),
    ({"a": 4, "b": 0}, "class folder 'b' has no images (a 4, b 0); fill it or remove it"),
    ({"a": 4, "b": 1}, "class 'b' has 1 different image; it needs at least 3, one each for train, val, test"),
    ({"train/a": 4, "train/b": 4, "val/c": 2}, "class 'c' (2 files) is in val but not in train"),
    ({"train/a": 4, "train/b": 4, "val/a": 2, "valid/a": 2}, "two folders for the same part: train, val, valid"),
    ({"train": 4, "test": 4}, "/ has 4 images but no class folders. Put each class in its own folder."),
]


@pytest.mark.parametrize(("counts", "message"), MESSAGES)
def test_messages(tmp_path, counts, message):
    write_photos(tmp_path, counts)
    with pytest.raises(DataError) as caught:
        data.load(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    if "no class folders" in message:
        assert len(caught.value.hint.splitlines()) == 4


def test_all_of_a_class_unreadable(tmp_path):
    write_photos(tmp_path, {"a": 300, "b": 1}, side=(4, 4))
    (tmp_path / "b" / "000.png").write_bytes(b"")
    with pytest.raises(DataError, match="class 'b' has no readable images"):
        data.load(tmp_path)
    shutil.rmtree(tmp_path / "a")
    write_photos(tmp_path, {"a": 1})
    (tmp_path / "a" / "000.png").write_bytes(b"")
    with pytest.raises(DataError, match="no image that can be read"):
        data.load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission(tmp_path):
    write_photos(tmp_path / "photos", {"a": 4, "b": 4})
    os.chmod(tmp_path / "photos", 0)
    try:
        with pytest.raises(EnvironmentProblem, match="permission denied"):
            data.load(tmp_path / "photos")
    finally:
        os.chmod(tmp_path / "photos", 0o700)
