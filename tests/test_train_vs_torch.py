"""The parts of benchmarks/train_vs_torch.py that need no PyTorch: its judgement, its figures, how it ends."""

import json

import benchmark_modules
import pytest

modules = pytest.fixture(benchmark_modules.imported)


@pytest.fixture
def script(modules, monkeypatch):
    monkeypatch.setattr(modules("report"), "version", lambda name: "1.0")
    return modules("train_vs_torch")


def worker_that_answers(losses, step_seconds):
    def trainer(name):
        return lambda command, amount: (losses if command == "losses" else step_seconds)[name]
    return benchmark_modules.worker_that_answers({name: trainer(name) for name in losses})


NAMES = ("minicnn, 2 threads", "torch-nchw, 2 threads", "torch-nhwc, 2 threads", "minicnn, 1 thread")
SAME = dict.fromkeys(NAMES, [2.0, 1.5])
SECONDS = dict(zip(NAMES, ([0.5, 0.4, 0.6], [4.0], [1.0], [1.0, 0.8]), strict=True))


def test_without_pytorch_it_says_so_in_one_line(script, modules, monkeypatch, capsys):
    monkeypatch.setattr(modules("report"), "version", lambda name: None)
    assert script.main([]) == 4
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "not installed here: torch;" in err


def test_losses_that_differ_stop_it_before_any_time_is_taken(script, monkeypatch, capsys):
    worker = worker_that_answers(SAME | {"torch-nhwc, 2 threads": [2.0, 1.5 * (1 + 2 * script.TOLERANCE)]}, SECONDS)
    monkeypatch.setattr(script, "Worker", worker)
    assert script.main(["--nets", "lenet"]) == 1
    assert {command for _, command in worker.asked} == {"losses", "close"}
    out, err = capsys.readouterr()
    assert out == "" and "lenet, batch 128: the losses of 5 steps differ by 2.0e-04" in err


def test_the_figures(script, monkeypatch, capsys, tmp_path):
    worker = worker_that_answers(SAME, SECONDS)
    monkeypatch.setattr(script, "Worker", worker)
    kept = tmp_path / "kept.json"
    assert script.main(["--nets", "tinyvgg", "--rounds", "2", "--json", "--out", str(kept)]) == 0
    blocks = [name for name, command in worker.asked if command == "train"]
    assert blocks == 2 * [*SAME, "minicnn, 1 thread", "minicnn, 1 thread"]      # A B C D E A B C D E; E is two at once
    found = json.loads(capsys.readouterr().out)
    assert json.loads(kept.read_text()) == found
    result, = found["results"]
    ours = result["rates"]["minicnn, 2 threads"]
    assert ours["median"] == 64 / 0.5 and ours["steps"] == 6
    assert ours["p20"] == pytest.approx(64 / 0.6) and ours["p80"] == 64 / 0.4
    assert result["ratio"] == 2.0 and result["ratio_of_each_round"] == [2.0, 2.0]           # to the faster format
    assert result["scaling"] == pytest.approx(0.9 / 0.5) and result["target"] == 2.5
    assert result["scaling_of_processes"] == pytest.approx(2) and result["rates"]["minicnn, 2 processes"]["steps"] == 8
    assert found["versions"]["torch"] == "1.0" and found["threads"] == 2


def test_the_table(script, monkeypatch, capsys):
    monkeypatch.setattr(script, "Worker", worker_that_answers(SAME, SECONDS))
    assert script.main(["--nets", "lenet"]) == 0
    out = capsys.readouterr().out
    assert "lenet, batch 128: ratio 2.00, target 3.5; contenders within 0e+00" in out
    assert "2 threads are 1.80 times as fast as 1, target 1.7; as many processes 2.00 times" in out
    assert ["minicnn,", "2", "threads", "256", "213", "320", "21"] in [line.split() for line in out.splitlines()]


def test_one_thread_is_compared_once(script, monkeypatch, capsys):
    one = {name.replace("2 threads", "1 thread"): seconds for name, seconds in SECONDS.items()}
    monkeypatch.setattr(script, "Worker", worker_that_answers(dict.fromkeys(one, [1.0]), one))
    assert script.main(["--nets", "lenet", "--threads", "1", "--json"]) == 0
    result, = json.loads(capsys.readouterr().out)["results"]
    assert list(result["rates"]) == ["minicnn, 1 thread", "torch-nchw, 1 thread", "torch-nhwc, 1 thread"]
    assert "scaling" not in result


@pytest.mark.parametrize("argv", [["--nets", "alexnet"], ["--threads", "0"], ["--rounds", "0"], ["--seconds", "nan"]])
def test_what_it_refuses(script, argv):
    with pytest.raises(SystemExit) as caught:
        script.main(argv)
    assert caught.value.code == 2
