"""benchmarks/steps.py: gains are those of neighbouring rows, wrong ways are not timed, only the table of the page changes."""

import json

import benchmark_modules
import numpy as np
import pytest

modules = pytest.fixture(benchmark_modules.imported)


@pytest.fixture
def steps(modules, monkeypatch):
    script = modules("steps")
    monkeypatch.setattr(script, "timed", lambda calls, seconds: calls[0]())
    return script


def walk(*answers):
    """Three ways of which each says how long its calls take."""
    return lambda: ("a walk", {"loops": lambda: [8.0, 9.0, 8.5], "lanes": lambda: [2.0], "tiles": lambda: [1.0]}, list(answers))


def test_gains_are_to_the_step_before_and_to_the_first(steps, monkeypatch, capsys):
    monkeypatch.setattr(steps, "PARTS", {"walk": walk([np.ones(3)], [np.ones(3)])})
    assert steps.main(["--rounds", "2"]) == 0
    out = capsys.readouterr().out
    assert "| loops | 8.5e+03 | 8e+03 to 9e+03 | – | – |" in out
    assert "| lanes | 2e+03 | 2e+03 to 2e+03 | 4.25x | 4.25x |\n| tiles | 1e+03 | 1e+03 to 1e+03 | 2x | 8.5x |" in out
    assert steps.main(["--rounds", "2", "--json"]) == 0
    assert [one["calls"] for one in json.loads(capsys.readouterr().out)["results"][0]["steps"]] == [6, 2, 2]


@pytest.mark.parametrize("off", [1.001, np.nan])
def test_ways_that_disagree_are_not_timed(steps, monkeypatch, capsys, off):
    """Also where another answer is much larger."""
    monkeypatch.setattr(steps, "PARTS", {"walk": walk([np.full(3, 1e6), np.ones(3)], [np.full(3, 1e6), np.array([1, 1, off])])})
    assert steps.main([]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "a walk: the ways differ by" in err


def test_only_what_stands_between_the_markers_changes(steps):
    page = f"before\n{steps.BEGIN}old\n{steps.END}\nafter\n"
    assert steps.rewritten(page, "new\n") == f"before\n{steps.BEGIN}new\n{steps.END}\nafter\n"
    for broken in ("before\nafter\n", f"{steps.END}\n{steps.BEGIN}"):
        with pytest.raises(ValueError, match="<!-- steps -->"):
            steps.rewritten(broken, "new\n")
    assert steps.rewritten((steps.DOCS / "kernels.md").read_text("utf-8"), "new\n").count("\nnew\n") == 1


def test_each_walk_computes_the_same_by_all_its_ways(steps, monkeypatch):
    """The convolutions on small images: the direct kernels and the examples against the reference."""
    monkeypatch.setattr(steps, "PROBLEM", "mb1ic4ih5oc4kh3ph1")
    _, calls, answers = steps.conv()
    assert list(calls) == ["naive loops", "lanes over channels", "register tiles", "Winograd"]
    assert len(answers) == 5 and steps.stepwise_disagreement(answers) <= steps.TOLERANCE
