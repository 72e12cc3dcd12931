"""`minicnn train --kernel`: only right kernels train, they do train, and run.json and resume know of them."""

import json
import shlex
import signal
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import fails, run
from small_runs import At, make_data, make_net, start

import minicnn as mc
from minicnn import kernels
from minicnn.lab import kernel_gain, own_kernel
from minicnn.lab.kernel_gain import Gain
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD
from minicnn.recipe import Recipe
from minicnn.run_folder import read_run_json
from minicnn.signals import Interrupted

FAST = ("--epochs", 1, "--batch", 256)
FOLDER = "runs/001-tiny-digits"

MINE = """
import numpy as np
from numba import njit
from minicnn.kernels import function

conv = function("reference", "conv2d_forward")

def relu(x, y):
    np.maximum(x, 0, out=y)

def dense(x, w, b, y):
    y[...] = (x.astype(float) @ w + b)

def wrong_relu(x, y):
    relu(x, y)
    y[-1, 1, 2, 3] += 1

def wrong_for_8_channels(x, w, b, y):
    dense(x, w, b, y)
    y[...] = y * (2 if w.shape[0] == 8 else 1)

def raises(x, y):
    return [][len(x)]

def raises_later(x, y):
    relu(x, y)
    if len(x) > 8:
        raise RuntimeError("too many images")

def interrupts(x, y):
    raise KeyboardInterrupt

@njit
def untyped(x, y):
    y[0] = x.no_such_thing

number = 3
"""


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Three rounds are enough to see that the gain is measured."""
    monkeypatch.setattr(kernel_gain, "SECONDS", 0.0)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def train(place, *kernels, words=()):
    options = [word for kernel in kernels for word in ("--kernel", kernel)]
    return run("train", "digits", *FAST, *options, *words, at=place)


def described(place, folder=FOLDER):
    return json.loads((place / folder / "run.json").read_text())


def test_a_right_kernel_trains_and_its_gain_is_told(place):
    result = train(place, "dense_forward=mine.py:dense", "relu_forward=mine.py:relu")
    assert result.code == 0 and result.err == "", result
    assert "kernel dense_forward=mine.py:dense: right in 1 call of this net; " in result.out
    assert "kernel relu_forward=mine.py:relu: right in 2 calls of this net; largest error 0.0e+00 of its terms" in result.out
    line = next(line for line in result.out.splitlines() if line.startswith("kernels "))
    assert line.startswith("kernels dense_forward=mine.py:dense, relu_forward=mine.py:relu: a training step takes ")
    told = described(place)
    assert told["kernels"]["dense_forward"]["file"] == "mine.py" and told["kernels"]["dense_forward"]["function"] == "dense"
    assert told["kernels"]["relu_forward"]["sha256"] == own_kernel.load([f"relu_forward={place}/mine.py:relu"])[0].sha256
    gain = told["result"]["gain"]
    assert gain["with_it"] > 0 and gain["without"] > 0 and gain["rounds"] == 3
    assert f"{gain['ratio']:.2f} times as long ({gain['verdict']})" in line
    assert told["status"] == "finished"


def test_it_is_the_kernel_that_trains(place):
    plain, same, conv, dense = (json.loads(train(place, *kernels, words=["--json"]).out) for kernels in (
        (), ["relu_forward=mine.py:relu"], ["conv2d_forward=mine.py:conv"], ["dense_forward=mine.py:dense"]))
    # Each rounds in its own way: without own kernels neighbouring layers are fused, with one they run one by one.
    assert len({run["weights_sha256"] for run in (plain, same, conv, dense)}) == 4
    assert "gain" not in plain and same["gain"]["verdict"] in ("SAME", "FASTER", "SLOWER", "UNCLEAR")
    assert "kernels" not in described(place)


@pytest.mark.parametrize("kernel, code, text", [
    ("relu_forward=mine.py:wrong_relu", 1, "relu_forward=mine.py:wrong_relu is wrong for relu_1"),
    ("relu_forward=mine.py:raises", 3, "mine.py, line 23: IndexError: list index out of range"),
    ("relu_forward=mine.py:untyped", 3, "mine.py, line 35: does not compile: Unknown attribute 'no_such_thing' of type array("),
    ("relu_forward=mine.py:interrupts", 130, "interrupted"),
    ("relu_forward=syntax.py:conv", 3, "syntax.py, line 2: "),
    ("relu_forward=loads.py:conv", 3, "loads.py, line 1: ZeroDivisionError: division by zero"),
    ("relu_forward=absent.py:conv", 2, "absent.py: no such file"),
    ("relu_forward=mine.py:rleu", 3, "mine.py has no function rleu; it has "),
    ("relu_forward=mine.py:number", 3, "mine.py has no function number; it has "),
    ("relu_forward=mine.py:dense", 3, "dense takes 4 arguments (x, w, b, y), relu_forward has 2 (x, y)"),
    ("relu_foward=mine.py:relu", 2, "No kernel 'relu_foward'. Did you mean 'relu_forward'?"),
    ("xyz=mine.py:relu", 2, "No kernel 'xyz'. Known: conv2d_forward "),
    ("relu_forward", 2, "--kernel relu_forward must be OP=FILE.py:NAME, like conv2d_forward=mine.py:conv"),
    ("relu_forward=mine.py", 2, "must be OP=FILE.py:NAME"),
    ("gelu_forward=mine.py:relu", 2, "this net never calls gelu_forward in training; it calls conv2d_forward, "),
])
def test_what_is_refused_leaves_nothing(place, kernel, code, text):
    (place / "syntax.py").write_text("x = 1\ndef conv(x:\n")
    (place / "loads.py").write_text("1 / 0\n")
    fails(train(place, kernel), code, text)
    assert not (place / "runs").exists()


def test_a_wrong_kernel_is_shown_where_it_is_wrong(place):
    result = train(place, "relu_forward=mine.py:wrong_relu")
    line = fails(result, 1, "y[")
    assert "1, 2, 3]" in line and "Nothing was trained." in result.err


def test_a_kernel_twice(place):
    fails(train(place, "relu_forward=mine.py:relu", "relu_forward=mine.py:relu"), 2, "--kernel relu_forward is given twice")


def test_all_shapes_of_the_net_are_checked():
    function = {}
    exec(MINE, function)
    net = mc.Sequential([mc.Dense(8), mc.Dense(4), mc.Dense(8)], (5,))
    own = [own_kernel.OwnKernel("dense_forward", "mine.py", "f", function["wrong_for_8_channels"], "")]
    with pytest.raises(own_kernel.WrongKernel, match="f is wrong for dense_2: "):
        own_kernel.check(own, net, np.ones((9, 5), np.float32), np.zeros(9, int), SoftmaxCrossEntropy(), SGD(0.1))


def test_an_exception_while_training_is_told_with_its_line(place):
    fails(train(place, "relu_forward=mine.py:raises_later"), 3, "mine.py, line 28: RuntimeError: too many images")
    assert described(place)["status"] == "failed"


def test_kernels_of_a_config_file(place):
    (place / "one.toml").write_text('kernel = "relu_forward=mine.py:relu"\n')
    (place / "two.toml").write_text('kernel = ["relu_forward=mine.py:relu", "dense_forward=mine.py:dense"]\n')
    for file, number in (("one.toml", 1), ("two.toml", 2)):
        assert run("train", "digits", *FAST, "--config", file, "--name", file, at=place).code == 0
        assert len(described(place, f"runs/{file}")["kernels"]) == number


def test_resume_needs_the_same_kernels(place):
    kernel = ("--kernel", "dense_forward=mine.py:dense")
    assert train(place, kernel[1]).code == 0
    resume = ("train", "--resume", FOLDER, "--epochs", 2)
    line = fails(run(*resume, at=place), 2, "was trained with own kernels; without them its weights would be others: add ")
    assert line.endswith(" ".join(kernel))
    fails(run(*resume, *kernel, "--kernel", "relu_forward=mine.py:relu", at=place), 2, "was not there when this run began")
    fails(run(*resume, "--kernel", "dense_forward=mine.py:wrong_for_8_channels", at=place), 2, "is not what")
    assert described(place)["result"]["epochs"] == 1
    result = run(*resume, *kernel, at=place)
    assert result.code == 0 and "right in 1 call of this net" in result.out
    told = described(place)
    assert told["result"]["epochs"] == 2 and told["result"]["gain"]["rounds"] == 3 and told["kernels"].keys() == {"dense_forward"}
    (place / "mine.py").write_text(MINE + "\n")
    fails(run(*resume, *kernel, at=place), 2, "start a new run for that")
    fails(run(*resume, at=place), 2, "add --kernel dense_forward=mine.py:dense")


def test_an_ordinary_run_takes_no_kernel_later(place):
    assert train(place).code == 0
    fails(run("train", "--resume", FOLDER, "--epochs", 2, "--kernel", "relu_forward=mine.py:relu", at=place), 2,
          "--kernel relu_forward was not there when this run began")


def test_a_run_json_full_of_nonsense_runs_nothing(place):
    assert train(place, "relu_forward=mine.py:relu").code == 0
    told = described(place)
    for nonsense in (3, [], {"relu_forward": 3}, {"relu_forward": {}}, {"relu_forward": {"file": 3, "function": None}}):
        (place / FOLDER / "run.json").write_text(json.dumps(told | {"kernels": nonsense}))
        fails(run("train", "--resume", FOLDER, "--epochs", 2, "--kernel", "relu_forward=mine.py:relu", at=place), 2)


def test_the_command_that_goes_on_names_the_kernels(tmp_path):
    record = {"relu_forward": {"file": "my kernels.py", "function": "relu", "sha256": "0"}}
    with pytest.raises(Interrupted) as caught:
        start(tmp_path, make_data(), origin={"kernels": record}, callbacks=[At(2, lambda: signal.raise_signal(signal.SIGINT))])
    words = shlex.split(str(caught.value).partition("go on: ")[2])
    assert words[-1] == "--kernel=relu_forward=my kernels.py:relu" and words[-3] == "--resume"
    assert read_run_json(tmp_path / "run")["kernels"] == record


def test_measuring_tells_the_sides_apart_and_leaves_the_net_alone(monkeypatch):
    data = make_data()
    net, relu, seen, looks = make_net(data), kernels.get("relu_forward", np.float32), [], count()
    clock = SimpleNamespace(perf_counter=lambda: next(looks) + 10 * len(seen))      # ten seconds for each call of ours
    monkeypatch.setattr(kernel_gain, "time", clock)
    own = [own_kernel.OwnKernel("relu_forward", "mine.py", "f", lambda x, y: seen.append(len(x)) or relu(x, y), "")]
    before = net.weights_sha256()
    gain = kernel_gain.measure(own, net, data.train.images[:32], data.train.labels[:32], Recipe(), 1, 0.0)
    assert net.weights_sha256() == before and len(seen) == 4 * len(net.engine.shards(32))
    assert (gain.without, gain.with_it, gain.verdict) == (1, 21, "SLOWER") and gain.ratio == pytest.approx(21)
    assert gain.rounds == 3 and gain.threads == 1 and gain.record()["ratio"] == gain.ratio


def test_the_sentence():
    own = [own_kernel.OwnKernel("conv2d_forward", "mine.py", "conv", print, "")]
    assert Gain(0.0123, 0.0118, 1.04, "SAME", 9, 2).sentence(own) == (
        "kernel conv2d_forward=mine.py:conv: a training step takes 12.3 ms with it, 11.8 ms without; "
        "round by round 1.04 times as long (SAME)")
    assert "takes 2.5 s with them, 1 s without" in Gain(2.5, 1.0, 2.5, "SLOWER", 9, 2).sentence(own * 2)
