"""`minicnn evaluate`, `predict`, `check`, `doctor`: answers, documents, exit codes."""

import json
import math
import shutil

import numpy as np
import pytest
from command_line import fails, run, tree
from PIL import Image

from minicnn import model_file
from minicnn.cli.check import built_in_samples
from minicnn.layers import REGISTRY, Dense, Flatten
from minicnn.sequential import Sequential

RUN = "runs/001-tiny-shots"

OWN = """
import minicnn as mc
import numpy as np

class Double(mc.Layer):
    per_image = True
    factor = 2
    def forward(self, x, train=False, rng=None):
        return 2 * x, None
    def backward(self, dy, cache):
        return self.factor * dy, {}

class Mean(Double):
    factor = 1

class Needs(Double):
    def __init__(self, k):
        self.k = k

def net(input_shape, classes):
    return [mc.Conv2D(2, 3), Double(), mc.Flatten(), mc.Dense(classes)]
"""


def picture(klass: str, number: int) -> Image.Image:
    """Dark pictures with one bright half; `number` shifts the levels, so that no two are equal."""
    pixels = np.full((10, 10), 20 + number, np.uint8)
    pixels[:, :5] += 150 if klass == "left" else 0
    pixels[:, 5:] += 150 if klass == "right" else 0
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with pictures in shots/, a trained run on them, own.py and another run with its net."""
    folder = tmp_path_factory.mktemp("answers")
    for klass in ("left", "right"):
        (folder / "shots" / klass).mkdir(parents=True)
        for number in range(60):
            picture(klass, number).save(folder / "shots" / klass / f"{number}.png")
    (folder / "own.py").write_text(OWN)
    assert run("train", "shots", "--epochs", 8, at=folder).code == 0
    assert run("train", "shots", "--epochs", 1, "--net", "own.py", at=folder).code == 0
    return folder


def test_evaluate(place):
    result = run("evaluate", RUN, at=place)
    lines = result.out.splitlines()
    assert result.code == 0 and result.err == "" and lines[0].startswith("test, ") and lines[0].endswith("time")
    assert lines[1].split() == ["class", "precision", "recall", "f1", "n"]
    assert [line.split()[0] for line in lines[2:4]] == ["left", "right"]
    assert lines[4].startswith("accuracy 1.000 (95% ") and "macro F1 1.000" in lines[4] and "baseline" in lines[4]


def test_evaluate_document(place):
    document = json.loads(run("evaluate", RUN, "--json", at=place).out)
    assert document["accuracy"] == 1 and document["macro_f1"] == 1
    assert len(document["per_class"]) == 2 and np.trace(document["confusion_matrix"]) == document["images"]
    again = json.loads(run("evaluate", RUN, "--json", at=place).out)
    assert again["opening"] == document["opening"] + 1


def test_evaluate_other_parts_and_data(place):
    assert json.loads(run("evaluate", RUN, "--on", "train", "--json", at=place).out)["opening"] == 0
    before = json.loads(run("evaluate", RUN, "shots", "--json", at=place).out)["opening"]
    assert before > 0, "the run's own data, named, are still the run's own"
    shutil.copytree(place / "shots", place / "more", dirs_exist_ok=True)
    assert json.loads(run("evaluate", RUN, "more", "--json", at=place).out)["opening"] == 0
    fails(run("evaluate", RUN, "digits", at=place), 3, "class '0' is none of the model's 2")


def test_evaluate_a_model_file(place, tmp_path):
    assert json.loads(run("evaluate", f"{RUN}/model.safetensors", "--json", at=place).out)["opening"] > 0
    shutil.copy(place / RUN / "model.safetensors", tmp_path / "bee.safetensors")
    fails(run("evaluate", tmp_path / "bee.safetensors", at=place), 2, "name the DATA to evaluate it on")
    assert run("evaluate", tmp_path / "bee.safetensors", "shots", at=place).code == 0


def test_evaluate_changed_data(place):
    shutil.copytree(place / RUN, place / "runs" / "moved", dirs_exist_ok=True)
    told = json.loads((place / "runs" / "moved" / "run.json").read_text())
    told["data"]["fingerprint"] = "0" * 64
    (place / "runs" / "moved" / "run.json").write_text(json.dumps(told))
    fails(run("evaluate", "runs/moved", at=place), 3, "the data differ from the run's")
    told["data"]["source"] = None
    (place / "runs" / "moved" / "run.json").write_text(json.dumps(told))
    fails(run("evaluate", "runs/moved", at=place), 3, "does not say where the data are")
    for broken in ("[]", "{", '{"data": 3}', '{"data": {"source": "shots", "size": "x"}, "result": 3}', "\xff"):
        (place / "runs" / "moved" / "run.json").write_text(broken, "latin-1")
        fails(run("evaluate", "runs/moved", at=place), 3, "run.json")


def test_predict(place):
    files = ["shots/left/3.png", "shots/right/4.png"]
    result = run("predict", RUN, *files, at=place)
    assert result.code == 0 and result.err == ""
    assert [line.split()[:2] for line in result.out.splitlines()] == [[files[0], "left"], [files[1], "right"]]
    rows = json.loads(run("predict", RUN, *files, "--json", at=place).out)
    assert [row["label"] for row in rows] == ["left", "right"] and rows[0]["file"] == files[0]
    for row in rows:
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert row["probability"] == max(row["probabilities"].values())


def test_predict_is_what_classify_says(place):
    net = model_file.open_model(place / RUN)
    files = [f"shots/left/{n}.png" for n in range(5)]
    rows = json.loads(run("predict", RUN, *files, "--json", at=place).out)
    answers = net.classify([place / file for file in files])
    assert [row["probability"] for row in rows] == [answer.probability for answer in answers]


def test_predict_with_a_bad_file_answers_the_others(place):
    (place / "bad\n.png").write_bytes(b"\x89PNG nothing")
    files = ["bad\n.png", "shots/left/3.png", "missing.png"]
    result = run("predict", RUN, *files, at=place)
    fails(result, 3, "2 of 3 images could not be read")
    first, second, third = result.out.splitlines()
    assert first.startswith("bad\\n.png") and "!" in first and "left" in second and "! " in third
    result = run("predict", RUN, *files, "--json", at=place)
    rows = json.loads(result.out)
    assert result.code == 3 and [row["label"] for row in rows] == [None, "left", None] and rows[0]["error"]
    fails(run("predict", RUN, "missing.png", at=place), 3, "missing.png: ")


def test_predict_colour_with_a_gray_net(place):
    Image.new("RGB", (10, 10), (200, 10, 10)).save(place / "red.png")
    result = run("predict", RUN, "red.png", "red.png", at=place)
    assert result.code == 0 and result.out.count("converted to gray") == 1


WRONG = {
    "missing": ("missing", 2, "no such file"),
    "empty folder": ("shots", 2, "has no model.safetensors"),
    "checkpoint": (f"{RUN}/last.safetensors", 3, "a checkpoint, not a model file"),
    "json": (f"{RUN}/run.json", 3, "not a minicnn model"),
    "picture": ("shots/left/1.png", 3, "looks like a PNG"),
}


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_run(place, verb, kind):
    path, code, text = WRONG[kind]
    before = tree(place)
    fails(run(verb, path, *(["shots/left/1.png"] if verb == "predict" else []), at=place), code, text)
    assert tree(place) == before


def test_a_net_that_was_never_trained(place):
    Sequential([Flatten(), Dense(2)], (10, 10, 1)).save(place / "raw.safetensors")
    fails(run("predict", "raw.safetensors", "shots/left/1.png", at=place), 2, "knows no classes")
    fails(run("evaluate", "raw.safetensors", "shots", at=place), 2, "knows no classes")


def test_own_layers(place):
    for words in (["evaluate"], ["predict", "shots/left/1.png"], ["check"], ["bench", "--time", "0.01"]):
        words.insert(1, "runs/002-own-shots")
        result = run(*words, at=place)
        fails(result, 3, "no layer 'Double'")
        assert "--net FILE.py" in result.err
        assert run(*words, "--net", "own.py", at=place).code == 0
    fails(run("train", "--resume", "runs/002-own-shots", "--epochs", 2, at=place), 3, "no layer 'Double'")
    assert run("train", "--resume", "runs/002-own-shots", "--epochs", 2, "--net", "own.py", at=place).code == 0


def test_check_finds_the_wrong_gradient(place):
    assert run("check", "own.py:Double", at=place).out.splitlines()[1].split()[:2] == ["dx", "ok"]
    result = run("check", "own.py:Mean", at=place)
    fails(result, 1, "wrong gradients: Mean")
    assert "FAIL" in result.out and "numeric" in result.out
    document = json.loads(run("check", "own.py:Mean", "--json", at=place).out)
    assert document[0]["ok"] is False and document[0]["gradients"][0]["error"] > 0.1
    fails(run("check", "own.py", at=place), 3, "Needs() cannot be made without arguments")
    fails(run("check", "own.py:Nothing", at=place), 3, "own.py has no layer Nothing; it has Double, Mean, Needs")


def test_check_layers_and_runs(place):
    assert run("check", "relu", at=place).code == 0
    fails(run("check", "relo", at=place), 2, "Did you mean relu?")
    result = run("check", RUN, at=place)
    assert result.code == 0 and result.out.count("ok") == 13 and "layer 7 (dense_1)" in result.out
    assert {type(layer) for _, layer, _ in built_in_samples()} == set(REGISTRY.values())


USER_ERRORS = {
    "syntax": ("def net(:", "mine.py, line 1: invalid syntax"),
    "raises": ("x = 1\ny = 1 / 0", "mine.py, line 2: ZeroDivisionError: division by zero"),
    "nothing": ("x = 1", "mine.py has no function net(input_shape, classes)"),
    "in net": ("def net(s, c):\n    return undefined", "mine.py, line 2: NameError"),
    "no list": ("def net(s, c):\n    return 3", "must return a list of layers, it returned 3"),
    "no layers": ("def net(s, c):\n    return ['conv']", "must return a list of layers, it holds 'conv'"),
    "outputs": ("import minicnn as mc\ndef net(s, c):\n    return [mc.Flatten(), mc.Dense(c + 1)]", "3 outputs"),
    "shapes": (
        "import minicnn as mc\ndef net(s, c):\n    return [mc.Dense(c)]",
        "layer 1 Dense(2) got (N,10,10,1): put Flatten()",
    ),
}


@pytest.mark.parametrize("kind", USER_ERRORS)
def test_errors_in_the_users_file(place, tmp_path, kind):
    text, message = USER_ERRORS[kind]
    (tmp_path / "mine.py").write_text(text)
    fails(run("train", place / "shots", "--net", "mine.py", at=tmp_path), 3, message)


def test_errors_of_own_layers_in_training(place, tmp_path):
    (tmp_path / "mine.py").write_text(OWN.replace("return self.factor * dy, {}", "return dy[:, :5], {}"))
    line = fails(run("train", place / "shots", "--net", "mine.py", at=tmp_path), 3, "Double.backward returned (")
    assert "its input was (" in line
    (tmp_path / "mine.py").write_text(OWN.replace("return 2 * x, None", "return 2 * x[0].no, None"))
    fails(run("train", place / "shots", "--net", "mine.py", at=tmp_path), 3, "mine.py, line 9: AttributeError")


def test_doctor():
    document = json.loads(run("doctor", "--json").out)
    assert set(document["versions"]) >= {"minicnn", "python", "numpy", "numba", "llvmlite"}
    assert document["cpu"]["target"] and document["cores"] >= 1
    assert document["cache"]["usable"] and "kernels" in document["cache"]["folder"]
    assert all(math.isfinite(value) and value > 0 for value in document["memory"].values())
    text = run("doctor").out
    assert [line.split()[0] for line in text.splitlines()][:3] == ["versions", "cpu", "cores"]
    assert document["cache"]["folder"] in text
