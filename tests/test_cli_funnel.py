"""The one place where failures become a line and an exit code; help and versions."""

import warnings
from pathlib import Path

import pytest
from command_line import fails, run

import minicnn
from minicnn.cli import VERBS, doctor
from minicnn.errors import Busy, DataError, Diverged, EnvironmentProblem, UsageError


def test_help_names_every_verb_and_nothing_else():
    result = run("--help")
    assert result.code == 0 and result.err == ""
    listed = [line.split()[0] for line in result.out.split("Verbs:")[1].splitlines() if line.strip()]
    assert listed == list(VERBS)
    for verb in VERBS:
        assert run(verb, "--help").out.startswith(f"Usage: minicnn {verb}")
    assert run("--version").out == f"minicnn {minicnn.__version__}\n"


def test_train_has_at_most_20_options_of_its_own():
    text = run("train", "--help").out
    common = {"--json", "--quiet", "--threads", "--seed", "--help"}
    own = {line.split()[0].strip(",") for line in text.splitlines() if line.startswith("  --")} - common
    assert {"--net", "--epochs", "--batch", "--lr", "--optimizer", "--size", "--split", "--resume", "--out", "--name"} < own
    assert len(own) <= 20


def test_no_verb_and_wrong_verb():
    assert "Usage:" in run().err
    fails(run(), 2, "no verb given")
    fails(run("trian"), 2, "No verb 'trian'. Did you mean 'train'? Known: train")


RAISED = [
    (UsageError("a"), 2, "a"),
    (DataError("two\nlines\x1b[2J \u202e"), 3, "two lines\\x1b[2J \\u202e"),
    (EnvironmentProblem("c"), 4, "c"),
    (Diverged("d"), 5, "d"),
    (Busy("e"), 6, "e"),
    (MemoryError("f"), 4, "not enough memory (f)"),
    (
        ModuleNotFoundError("No module named 'numba'", name="numba"),
        4,
        "the package numba is missing; install it with: pip install numba",
    ),
    (PermissionError(13, "Permission denied", "/x"), 4, "/x: Permission denied"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (RuntimeError("g"), 70, "this is a bug in minicnn: RuntimeError: g"),
    (ModuleNotFoundError("No module named 'minicnn.lost'", name="minicnn.lost"), 70, "this is a bug"),
]


@pytest.mark.parametrize("error, code, text", RAISED, ids=lambda value: type(value).__name__)
def test_exit_codes(monkeypatch, tmp_path, error, code, text):
    def fail():
        raise error

    monkeypatch.setattr(doctor, "cache_state", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = run("doctor", "--json")
    fails(result, code, text)
    assert result.out == ""
    kept = list(tmp_path.iterdir())
    assert len(kept) == (code == 70)
    if kept:
        assert f"The traceback is in {kept[0]}" in result.err and "Traceback" in kept[0].read_text()


def test_the_traceback_of_a_run_stays_in_its_folder(monkeypatch, tmp_path):
    from minicnn.trainer import Trainer

    monkeypatch.setattr(Trainer, "step", lambda *_, **__: 1 / 0)
    fails(run("train", "digits", at=tmp_path), 70, "ZeroDivisionError")
    assert "ZeroDivisionError" in (tmp_path / "runs" / "001-tiny-digits" / "bug.txt").read_text()


def test_debug_shows_the_traceback(monkeypatch, tmp_path):
    monkeypatch.setenv("MINICNN_DEBUG", "1")
    result = run("predict", tmp_path / "missing", "x.png")
    assert result.code == 2 and "Traceback" in result.err


def test_hints_follow_on_lines_of_their_own(monkeypatch):
    def fail():
        raise DataError("a", hint="b\nc")

    monkeypatch.setattr(doctor, "cache_state", fail)
    assert run("doctor").err.splitlines() == ["minicnn: error: a", "minicnn: hint: b", "minicnn: hint: c"]


def test_warnings_are_one_line(monkeypatch):
    def warn():
        warnings.warn("kernels are not kept\n: why", stacklevel=2)
        return {"folder": "x", "state": "y"}

    monkeypatch.setattr(doctor, "cache_state", warn)
    result = run("doctor")
    assert result.code == 0 and result.err == "minicnn: warning: kernels are not kept\\n: why\n"


def test_doctor_says_why_the_cache_cannot_be_used(tmp_path, monkeypatch):
    from minicnn.kernels import cache

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "file" / "cache"))
    cache.cache_folder.cache_clear()
    try:
        state = doctor.cache_state()
        assert not state["usable"] and "Not a directory" in state["state"]
        assert Path(state["folder"]) == tmp_path / "file" / "cache"
    finally:
        cache.cache_folder.cache_clear()
