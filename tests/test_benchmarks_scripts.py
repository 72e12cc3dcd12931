"""The scripts that compare, with contenders that are not there: who is refused, what is compared with what, who is left out."""

import json

import benchmark_modules
import numpy as np
import pytest

modules = pytest.fixture(benchmark_modules.imported)


@pytest.fixture
def play(modules, monkeypatch, capsys):
    """play(script, answers, argv) -> (exit code, JSON or None, stderr); every package counts as installed, unless named."""
    def run(name, answers, *argv, missing=()):
        script = modules(name)
        for place in (modules("report"), script):
            monkeypatch.setattr(place, "version", lambda package: None if package in missing else "1.0", raising=False)
        monkeypatch.setattr(script, "Worker", benchmark_modules.worker_that_answers(answers), raising=False)
        code = script.main([*argv, "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err
    return run


# ---- inference ----

def infers(outputs, seconds):
    """A contender that gives these outputs, and needs these seconds for a call with 1 image and with more."""
    return lambda command, images, *_: outputs if command == "outputs" else [seconds[images > 1]]


INFER = {"minicnn": infers([[0.25, 0.75]], (0.5, 0.5)), "onnxruntime": infers([[0.25, 0.75]], (0.25, 1.0)),
         "torch-nchw": infers([[0.25, 0.75]], (0.1, 0.1)), "torch-nhwc": infers([[0.25, 0.75]], (4.0, 4.0))}


def test_inference_is_compared_with_onnx_runtime(play):
    code, found, _ = play("infer_vs_onnxruntime", INFER, "--nets", "vgg-small", "--rounds", "2")
    assert code == 0
    batch, single = found["results"]
    assert (batch["row"], batch["ratio"], batch["target"]) == ("vgg-small, batch 128", 2.0, 1.3)
    assert (single["row"], single["ratio"], single["target"]) == ("vgg-small, batch 1", 0.5, 0.8)
    assert batch["rates"]["onnxruntime"]["median"] == 128 and batch["rates"]["minicnn"]["rounds"] == [256, 256]


def test_outputs_that_differ_are_not_timed(play):
    wrong = INFER | {"onnxruntime": infers([[0.2502, 0.75]], (1, 1))}
    code, found, err = play("infer_vs_onnxruntime", wrong, "--nets", "lenet")
    assert code == 1 and found is None and "lenet, batch 128: the outputs differ by 2.7e-04" in err


def test_inference_without_pytorch_goes_on_and_without_onnx_runtime_ends(play):
    code, found, _ = play("infer_vs_onnxruntime", INFER, "--nets", "lenet", "--rounds", "1", missing=("torch",))
    assert code == 0 and list(found["results"][0]["rates"]) == ["minicnn", "onnxruntime"]
    code, found, err = play("infer_vs_onnxruntime", INFER, missing=("onnx",))
    assert code == 4 and found is None and "not installed here: onnx;" in err


# ---- convolutions ----

def convolves(name, value, seconds):
    def answer(command, shape, direction, last):
        if command == "output":
            np.savez(f"{last}/{name}.npz", np.full(3, 4.0), np.array([0.0, value]))
        return [seconds]
    return answer


def test_convolutions_are_compared_with_the_faster_format(play):
    sides = {name: convolves(name, 1, s) for name, s in (("minicnn", 0.5), ("torch-nchw", 2.0), ("torch-nhwc", 1.0))}
    code, found, _ = play("conv_vs_torch", sides, "--shapes", "64-64@32", "--directions", "forward", "--rounds", "1")
    result, = found["results"]
    assert code == 0 and result["ratio"] == 2.0 and result["target"] == 1.4
    assert result["rates"]["torch-nhwc"]["median"] == pytest.approx(2 * 64 * 32 * 32 * 9 * 64 * 64 / 1e9)


def test_a_wrong_second_output_is_seen(play):
    sides = {"minicnn": convolves("minicnn", 1.001, 1), "torch-nchw": convolves("torch-nchw", 1, 1),
             "torch-nhwc": convolves("torch-nhwc", 1, 1)}
    code, found, err = play("conv_vs_torch", sides, "--shapes", "64-64@32", "--directions", "backward_weight")
    assert code == 1 and found is None and "64-64@32, batch 64, backward_weight: the outputs differ by 1.0e-03" in err


# ---- memory ----

def test_memory_is_the_peak_above_the_imports(play, modules, monkeypatch):
    held = {"minicnn": (300, 700), "torch-nchw": (400, 1200), "torch-nhwc": (400, 900)}

    def run(contender, net, threads):
        imported, peak = held[contender]
        return {"imported": imported * 1e6, "peak": peak * 1e6, "losses": [1.0]}
    monkeypatch.setattr(modules("memory_vs_torch"), "run", run)
    code, found, _ = play("memory_vs_torch", {}, "--rounds", "2")
    result, = found["results"]
    assert code == 0 and result["ratio"] == 0.8 and result["target"] == 1.0 and result["less_is_better"]
    assert result["rates"]["torch-nchw"]["rounds"] == [800, 800] and result["imported"]["minicnn"] == 300


# ---- other libraries ----

def trains(losses, seconds):
    return lambda command, _: losses if command == "losses" else [seconds]


def dies(command, _):
    raise RuntimeError("tinygrad: its process ended with exit code 1")


def test_peers_that_can_not_run_are_left_out_with_a_reason(play, modules, monkeypatch):
    monkeypatch.setattr(modules("peers").shutil, "which", lambda name: "clang")
    sides = {"minicnn": trains([2.0, 1.0], 1.0), "jax": trains([2.0, 1.0], 2.0), "tinygrad": dies,
             "naive": trains([2.0, 1.5], 0.1)}
    code, found, _ = play("peers", sides, "--nets", "lenet", "--rounds", "1")
    result, = found["results"]
    assert code == 0 and result["ratio"] == 2.0 and list(result["rates"]) == ["minicnn", "jax"]
    assert result["left_out"] == {"tinygrad": "its process ended with exit code 1", "naive": "its losses differ by 3.3e-01"}


def test_peers_that_are_not_there(play, modules, monkeypatch):
    monkeypatch.setattr(modules("peers").shutil, "which", lambda name: None)
    code, found, _ = play("peers", {"minicnn": trains([1.0], 1.0)}, "--nets", "vgg-small", "--rounds", "1", missing=("jax",))
    result, = found["results"]
    assert code == 0 and result["ratio"] is None and result["left_out"]["jax"] == "not installed"
    assert "needs clang" in result["left_out"]["tinygrad"] and "left out" in result["left_out"]["naive"]
