"""`minicnn train`: what it prints and leaves, and its answers to common mistakes."""

import json
import os

import numpy as np
import pytest
from command_line import fails, run, tree
from PIL import Image

FAST = ("--epochs", 1, "--batch", 128)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with one run in it, and what train printed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run("train", "digits", "--epochs", 3, at=folder)


@pytest.fixture
def photos(tmp_path):
    """photos/ with twelve pictures of 12x12 in each of two classes."""
    random = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(random.integers(0, 256, (12, 12), np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path


def test_the_screen(trained):
    folder, result = trained
    assert result.code == 0 and result.err == ""
    lines = result.out.splitlines()
    assert lines[0] == "digits: 10 classes, 1 797 images, gray, 8x8"
    assert lines[1] == "  train 1 412   val 164   test 221 (not opened during training)"
    assert lines[2].startswith("net tiny: 7 layers, 5,130 parameters, 83.3 k multiply-adds per image")
    assert any(line.startswith("cpu: ") and "threads" in line for line in lines)
    assert any(line.startswith("forecast: 3 epochs in about ") for line in lines)
    rows = [line.split() for line in lines if line.strip()[:1] in "123" and "." in line]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert lines[-3].startswith("val accuracy 0.") and "always saying '4' gives 0.128" in lines[-3]
    assert lines[-2].startswith("weights sha256 ")
    assert lines[-1].startswith("next: minicnn evaluate runs/001-tiny-digits")
    assert sorted(os.listdir(folder / "runs" / "001-tiny-digits")) == [
        "last.safetensors", "log.jsonl", "metrics.csv", "model.safetensors", "run.json",
    ]  # fmt: skip


def test_run_json_holds_the_settings(trained):
    told = json.loads((trained[0] / "runs" / "001-tiny-digits" / "run.json").read_text())
    assert told["data"]["source"] == "digits" and told["data"]["split"] == [80, 10, 10]
    assert told["recipe"]["schedule"] == {"schedule": "Cosine", "warmup": 1.0}
    assert told["recipe"]["optimizer"]["momentum"] == 0.9 and told["recipe"]["seed"] == 0


def test_json_and_seed(tmp_path):
    results = [run("train", "digits", *FAST, "--json", "--threads", n, at=tmp_path) for n in (1, 2)]
    results.append(run("train", "digits", *FAST, "--json", "--seed", 1, at=tmp_path))
    documents = [json.loads(result.out) for result in results]
    assert documents[0]["run"] == "runs/001-tiny-digits" and documents[0]["epochs"] == 1
    assert 0 < documents[0]["val_accuracy"] < 1
    assert documents[0]["images_per_second"] > 0 and documents[0]["seconds_compile"] >= 0
    assert documents[0]["weights_sha256"] == documents[1]["weights_sha256"] != documents[2]["weights_sha256"]
    assert "digits: 10 classes" in results[0].err


def test_quiet(tmp_path):
    result = run("train", "digits", *FAST, "--quiet", at=tmp_path)
    assert len(result.out.splitlines()) == 2 and result.err == ""


def test_config_file(tmp_path):
    (tmp_path / "my.toml").write_text('epochs = 2\nbatch = 256\nname = "mine"\nstop-after = 5\nquiet = true\n')
    assert run("train", "digits", "--config", "my.toml", "--epochs", 1, at=tmp_path).code == 0
    recipe = json.loads((tmp_path / "runs" / "mine" / "run.json").read_text())["recipe"]
    assert (recipe["epochs"], recipe["batch"], recipe["stop_after"]) == (1, 256, 5)


@pytest.mark.parametrize(
    "text, message",
    [
        ("epohcs = 2", "no option 'epohcs'. Did you mean 'epochs'?"),
        ("epochs = ", "my.toml"),
        ("epochs = [1]", "'epochs' must be a text or a number"),
        ("epochs = 0", "--epochs"),
        (None, "No such file"),
    ],
)
def test_bad_config_file(tmp_path, text, message):
    if text is not None:
        (tmp_path / "my.toml").write_text(text)
    fails(run("train", "digits", "--config", "my.toml", at=tmp_path), 2, message)


def test_resume(tmp_path):
    one = run("train", "digits", "--epochs", 2, "--json", at=tmp_path)
    assert run("train", "--resume", "runs/001-tiny-digits", at=tmp_path).code == 0
    run("train", "digits", "--epochs", 1, at=tmp_path)
    two = run("train", "digits", "--resume", "runs/002-tiny-digits", "--epochs", 2, "--json", at=tmp_path)
    assert json.loads(two.out)["epochs"] == 2 and "1 of 2 epochs are done" in two.err
    assert json.loads(one.out)["epochs"] == 2
    for option, value in (("--lr", 0.1), ("--batch", 64), ("--seed", 0), ("--name", "x"), ("--split", "80,10,10")):
        fails(run("train", "--resume", "runs/001-tiny-digits", option, value, at=tmp_path), 2, f"{option} cannot change")
    fails(run("train", "--resume", "runs/001-tiny-digits", "--net", "lenet", at=tmp_path), 2, "--net lenet cannot change")
    fails(run("train", "--resume", "runs/001-tiny-digits", "--epochs", 1, at=tmp_path), 2, "epoch 2 already")
    fails(run("train", "--resume", "runs/009", at=tmp_path), 2, "no such run folder")
    (tmp_path / "runs" / "001-tiny-digits" / "last.safetensors").unlink()
    fails(run("train", "--resume", "runs/001-tiny-digits", at=tmp_path), 2, "nothing to go on from")


def test_changed_data_are_refused(photos):
    assert run("train", "photos", *FAST, "--quiet", at=photos).code == 0
    (photos / "photos" / "cats" / "0.png").write_bytes((photos / "photos" / "cats" / "1.png").read_bytes())
    fails(run("train", "--resume", "runs/001-tiny-photos", at=photos), 3, "the data differ from the run's")


def test_unreadable_files_are_listed(photos):
    for name in ("cats", "dogs"):
        for i in range(12, 120):
            source = (photos / "photos" / name / f"{i % 12}.png").read_bytes()
            (photos / "photos" / name / f"{i}.png").write_bytes(source)
    (photos / "photos" / "cats" / "bad\n.png").write_bytes(b"no picture")
    result = run("train", "photos", *FAST, at=photos)
    assert result.code == 0 and "1 unreadable file skipped" in result.out
    assert "the skipped files are listed in runs/001-tiny-photos/skipped.txt" in result.out
    listed = (photos / "runs" / "001-tiny-photos" / "skipped.txt").read_text().splitlines()
    assert len(listed) == 1 and "bad\\n.png" in listed[0]


MISTAKES = {
    "near path": (["train", "phtos/"], 2, "photos/ exists. Did you mean: minicnn train photos/ ?"),
    "near name": (["train", "digit"], 2, "Did you mean: minicnn train digits ?"),
    "no data": (["train"], 2, "train needs DATA"),
    "equals": (["train", "digits", "epochs=3"], 2, "Options are written --epochs 3."),
    "near net": (["train", "digits", "--net", "reznet8"], 2, "No net 'reznet8'. Did you mean 'resnet8'? Known: tiny lenet"),
    "small": (["train", "digits", "--net", "lenet"], 3, "After conv 2 the map would be"),
    "option": (["train", "digits", "--epohcs", "3"], 2, "--epohcs"),
    "epochs 0": (["train", "digits", "--epochs", "0"], 2, "--epochs"),
    "lr 0": (["train", "digits", "--lr", "0"], 2, "--lr 0 must be a number above 0"),
    "lr -1": (["train", "digits", "--lr", "-1"], 2, "--lr -1 must be"),
    "lr nan": (["train", "digits", "--lr", "nan"], 2, "--lr nan must be"),
    "lr inf": (["train", "digits", "--lr", "inf"], 2, "--lr inf must be"),
    "lr text": (["train", "digits", "--lr", "auto"], 2, "--lr"),
    "threads": (["train", "digits", "--threads", "0"], 2, "--threads"),
    "seed": (["train", "digits", "--seed", "-1"], 2, "--seed"),
    "split": (["train", "digits", "--split", "80,30"], 2, "expected train,val,test in percent"),
    "optimizer": (["train", "digits", "--optimizer", "sdg"], 2, "--optimizer"),
    "name": (["train", "digits", "--name", "a/b"], 2, "cannot be a run's name"),
    "net file": (["train", "digits", "--net", "mine.py"], 2, "mine.py: no such file"),
    "batch": (["train", "digits", "--batch", "0"], 2, "--batch"),
}


@pytest.mark.parametrize("slip", MISTAKES)
def test_mistakes(photos, slip):
    words, code, text = MISTAKES[slip]
    before = tree(photos)
    fails(run(*words, at=photos), code, text)
    assert tree(photos) == before and not (photos / "runs").exists()


def test_folder_mistakes(photos):
    (photos / "photos" / "dogs").rename(photos / "elsewhere")
    fails(run("train", "photos", at=photos), 3, "Only one class found (cats). A classifier needs at least two.")
    fails(run("train", "elsewhere", at=photos), 3, "has 12 images but no class folders. Put each class in its own folder")


def test_too_many_threads_are_fewer(tmp_path):
    result = run("train", "digits", *FAST, "--threads", 10**6, at=tmp_path)
    assert result.code == 0 and "--threads 1000000 lowered to" in result.out


def test_diverged(tmp_path):
    result = run("train", "digits", *FAST, "--lr", "1e9", at=tmp_path)
    line = fails(result, 5, "not finite at step")
    assert "layer" in line and "the loss grew from" in line
    assert "minicnn: hint: Try --lr 0.1. The batch is in runs/001-tiny-digits/diverged.npz" in result.err


def test_a_batch_that_cannot_fit(tmp_path):
    fails(run("train", "shapes", "--net", "vgg", "--batch", 10**9, at=tmp_path), 4, "try a smaller --batch")


def test_stopped_early(tmp_path):
    result = run("train", "digits", "--epochs", 9, "--lr", 1e-12, "--stop-after", 1, at=tmp_path)
    rows = (tmp_path / "runs" / "001-tiny-digits" / "log.jsonl").read_text().splitlines()
    assert result.code == 0 and len(rows) < 9
    assert "stopped early: 1 epoch(s) without a better validation loss" in result.out


WIDE_NET = """
import minicnn as mc

def net(input_shape, classes):
    wide = [mc.Conv2D(32, 3, padding="same"), mc.ReLU(), mc.Conv2D(32, 3, padding="same")]
    return [*wide, mc.GlobalAvgPool2D(), mc.Dense(classes)]
"""


def test_exact_keeps_winograd_out_and_is_remembered(tmp_path):
    (tmp_path / "wide.py").write_text(WIDE_NET)
    told = []
    for name, options in (("fast", ()), ("exact", ("--exact",)), ("again", ("--exact",))):
        result = run("train", "digits", "--net", "wide.py", "--name", name, *options, *FAST, at=tmp_path)
        assert result.code == 0, result.err
        told.append(json.loads((tmp_path / "runs" / name / "run.json").read_text()))
    fast, exact, again = told
    assert "exact" not in fast and exact["exact"] is True
    assert exact["result"]["weights_sha256"] == again["result"]["weights_sha256"] != fast["result"]["weights_sha256"]
    fails(run("train", "--resume", "runs/fast", "--exact", at=tmp_path), 2, "--exact cannot change when a run is resumed")
