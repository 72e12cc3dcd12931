"""`minicnn bench` as it is typed: own kernels right and wrong, files and words that cannot be used, what it writes."""
import json

import pytest
from command_line import fails, run

from minicnn.lab import roof

SHAPE = "mb3ic3ih5oc4kh3ph1"
QUICK = ("--time", "0.001", "--threads", "1", "--against", "cpu")
MINE = '''
import numpy as np
from numba import njit

SIGNATURE = "x, w, b, y, stride_h, stride_w, pad_top, pad_left"


def conv(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    import minicnn.kernels
    minicnn.kernels.function("reference", "conv2d_forward")(x, w, b, y, stride_h, stride_w, pad_top, pad_left)


def off_by_one(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    conv(x, w, b, y, stride_h, stride_w, pad_top, pad_left)
    y[:, :, 1:] = y[:, :, :-1].copy()


def leaves_out(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    conv(x, w, b, y, stride_h, stride_w, pad_top, pad_left)
    y[0, -1, -1, -1] = np.nan


@njit
def no_types(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    y[0] = x + "a"


def raises(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    y[...] = undefined_name


def relu_forward_mine(x, y):
    y[...] = np.maximum(x, 0)


def open_question(a, c):
    pass
'''


@pytest.fixture(autouse=True)
def known_roof(monkeypatch):
    monkeypatch.setattr(roof, "measure", lambda threads=1: (100.0, 20.0))


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def test_a_right_kernel(mine):
    done = run("bench", "mine.py:conv", "--shape", SHAPE, *QUICK, at=mine)
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert lines[0] == "1 thread, warm caches; roof measured now: 100 GFLOP/s, 20.0 GB/s"
    assert lines[2].startswith(f"conv2d_forward {SHAPE}: ") and lines[3].split()[:4] == ["who", "device", "threads", "max"]
    assert lines[4].split()[0] == "cpu" and lines[5].split()[:5] == ["mine.py:conv", "cpu", "1", lines[5].split()[3], "ok"]


@pytest.mark.parametrize("name, what", [("off_by_one", "right is"), ("leaves_out", "y[0, 4, 4, 3] is NaN")])
def test_a_wrong_kernel_exits_1_and_shows_no_time(mine, name, what):
    done = run("bench", f"mine.py:{name}", "--shape", SHAPE, *QUICK, at=mine)
    assert fails(done, 1) == f"wrong: mine.py:{name} (conv2d_forward {SHAPE})"
    line = next(line for line in done.out.splitlines() if line.startswith(f"mine.py:{name}"))
    assert what in line and line.endswith("no timing: the result is wrong") and " ms" not in line and " us" not in line


@pytest.mark.parametrize("name, code, what", [
    ("no_types", 3, "mine.py, line 25: does not compile: No implementation of function Function(<built-in function add>)"),
    ("raises", 3, "mine.py, line 29: NameError: name 'undefined_name' is not defined"),
    ("nothing", 3, "mine.py has no function nothing; it has conv, off_by_one"),
    ("open_question", 2, "which kernel is it? it has neither the name nor the parameters of one"),
    ("", 2, "mine.py: which function? it has conv, "),
])
def test_files_that_cannot_be_used(mine, name, code, what):
    assert what in fails(run("bench", f"mine.py:{name}", "--shape", SHAPE, *QUICK, at=mine), code)


def test_a_file_that_does_not_parse_or_is_not_there(mine):
    (mine / "broken.py").write_text("def conv(:\n")
    fails(run("bench", "broken.py:conv", at=mine), 3, "broken.py, line 1: ")
    fails(run("bench", "none.py:conv", at=mine), 2, "none.py: no such file")


def test_which_kernel_a_function_is(mine):
    done = run("bench", "mine.py:relu_forward_mine", "--shape", "mb2ic3", *QUICK, "--json", at=mine)
    assert json.loads(done.out)["problems"][0]["kernel"] == "relu_forward"
    done = run("bench", "mine.py:relu_forward_mine", "--op", "gelu", "--dir", "fwd", "--shape", "mb2ic3", *QUICK, at=mine)
    assert done.code == 1 and "gelu_forward mb2ic3" in done.out
    fails(run("bench", "mine.py:conv", "--op", "dense_forward", at=mine), 3, "conv takes 8 arguments (x, w, b, y, stride_h, ")
    fails(run("bench", "mine.py:open_question", "--op", "relu", at=mine), 2, "it could be relu_forward relu_backward")


@pytest.mark.parametrize("words, what", [
    (["con"], "No operation, file, run or net 'con'. Did you mean conv?"), (["conv", "--shape", "mb2ic3xx"], "character 7:"),
    (["conv", "--dir", "up"], "no direction 'up'"), (["conv", "--against", "gpu"], "no contender 'gpu'"),
    (["--shape", "mb2"], "--shape needs an operation"), (["conv", "--op", "conv"], "--op says what FILE.py:NAME computes"),
    (["conv", "--compare", "none.json"], "none.json: no such file"), (["conv", "--time", "0"], "--time"),
    (["conv", "--save", "no/where.json"], "there is no folder no"), (["lenet", "--asm"], "--asm is about kernels"),
    (["lenet", "--shape", "mb2"], "--shape is about kernels"), (["conv", "--shapes", "none.txt"], "none.txt: no such file"),
    (["conv", "--dir", "fwd", "--shape", "mb99999999ic64ih224oc64kh3"], "GB are free"),
])
def test_words_that_cannot_be_used(tmp_path, words, what):
    fails(run("bench", *words, at=tmp_path), 2, what)


def test_all_directions_of_all_lines_of_a_shape_file(tmp_path):
    (tmp_path / "mine.txt").write_text('conv mb2ic3ih5oc4kh1n"one"\nrelu mb2ic3ih5n"two"\n')
    done = run("bench", "--shapes", "mine.txt", *QUICK, "--json", at=tmp_path)
    found = [(entry["kernel"], entry["label"]) for entry in json.loads(done.out)["problems"]]
    assert found == [("conv2d_forward", "one"), ("conv2d_backward_input", "one"), ("conv2d_backward_weight", "one"),
                     ("relu_forward", "two"), ("relu_backward", "two")]
    done = run("bench", "relu", "--dir", "bwd_d", "--shapes", "mine.txt", *QUICK, "--json", at=tmp_path)
    assert [entry["kernel"] for entry in json.loads(done.out)["problems"]] == ["relu_backward"]
    fails(run("bench", "gelu", "--shapes", "mine.txt", at=tmp_path), 2, "no problem in mine.txt is one of gelu")
    (tmp_path / "bad.txt").write_text("conv mb2ic3ih5oc4kh1\nconv mb2ic3ih5\n")
    fails(run("bench", "--shapes", "bad.txt", at=tmp_path), 3, "bad.txt, line 2: problem 'mb2ic3ih5', character 10:")


def test_save_compare_page_and_xray(mine):
    words = ("bench", "relu_forward", "--shape", "mb2ic3ih4", *QUICK)
    done = run(*words, "--save", "old.json", "--asm", at=mine)
    assert done.code == 0 and "x-ray: " in done.out and done.out.endswith("saved: old.json\n")
    saved = json.loads((mine / "old.json").read_text())
    assert saved["roof"] == {"gflops": 100.0, "gbytes": 20.0, "threads": 1} and saved["problems"][0]["rows"][0]["xray"]
    done = run(*words, "--compare", "old.json", at=mine)
    assert "against old.json (" in done.out and " times the earlier time: " in done.out


def test_json_is_one_document_also_when_a_kernel_is_wrong(mine):
    done = run("bench", "mine.py:off_by_one", "--shape", SHAPE, *QUICK, "--json", at=mine)
    document = json.loads(done.out)
    assert done.code == 1 and document["problems"][0]["rows"][1]["verdict"] == "wrong"


def test_a_net_is_profiled(tmp_path):
    done = run("bench", "lenet", "--time", "0.01", "--save", "net.json", at=tmp_path)
    assert done.code == 0 and "conv2d_1" in done.out and "of roof" in done.out
    assert json.loads((tmp_path / "net.json").read_text())["rows"]


@pytest.mark.parametrize("what", [[], ["conv"], ["lenet"], ["mine.py:off_by_one"]])
def test_net_is_for_a_run(mine, what):
    done = run("bench", *what, "--net", "own.py", at=mine)
    assert done.code == 2 and "--net names the layers of a RUN" in done.err and done.err.count("\n") == 1
