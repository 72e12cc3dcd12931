"""bin/bench: what it runs, what a missing library or a wrong result does, what is installed, and that bin/ becomes it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import benchmark_modules
import pytest

ROOT = Path(__file__).parent.parent
modules = pytest.fixture(benchmark_modules.imported)


@pytest.fixture
def bench(modules, monkeypatch):
    """everything.py, which notes the scripts it would run and takes their exit codes from `codes`."""
    script = modules("everything")
    script.ran, script.codes, script.installed = [], {}, []

    def run(name, quick, results):
        script.ran.append((name, quick))
        return script.codes.get(name, 0)
    monkeypatch.setattr(script, "run", run)
    monkeypatch.setattr(script.tables, "main", lambda: script.codes.get("tables", 0))
    monkeypatch.setattr(script.install_peers, "main", lambda: script.installed.append(True))
    return script


def test_every_script_exists_knows_its_options_and_has_a_table(modules):
    everything = modules("everything")
    assert everything.SCRIPTS.keys() == modules("tables").UNITS.keys()
    for name in everything.SCRIPTS:
        source = (benchmark_modules.BENCHMARKS / f"{name.replace('-', '_')}.py").read_text("utf-8")
        assert all(word in source for word in ("conditions(", "finish(", "parsed("))


def test_all_or_those_that_are_named(bench):
    assert bench.main([]) == 0 and bench.ran == [(name, False) for name in bench.SCRIPTS] and bench.installed
    bench.ran.clear(), bench.installed.clear()
    assert bench.main(["peers", "--quick", "--no-install"]) == 0 and bench.ran == [("peers", True)] and not bench.installed


def test_a_missing_library_is_no_failure_and_a_wrong_result_is(bench, capsys):
    bench.codes = {"train-vs-torch": 4}
    assert bench.main([]) == 0
    assert "5 of 6 measured" in (out := capsys.readouterr().out) and "left out: train-vs-torch" in out
    bench.codes = {"conv-vs-torch": 1, "peers": -9}
    assert bench.main([]) == 1 and len(bench.ran) == 12
    assert "failed: conv-vs-torch (exit code 1), peers (exit code -9)" in capsys.readouterr().out
    bench.codes = {"tables": 1}
    assert bench.main(["peers"]) == 1


def test_what_it_refuses(bench):
    with pytest.raises(SystemExit) as caught:
        bench.main(["alexnet"])
    assert caught.value.code == 2 and not bench.ran


def test_a_script_is_given_its_file_and_this_checkout(modules, monkeypatch, tmp_path):
    everything, seen = modules("everything"), []

    def run(command, env):
        seen.extend([command, env["PYTHONPATH"]])
        return subprocess.CompletedProcess(command, 3)
    monkeypatch.setattr(everything.subprocess, "run", run)
    assert everything.run("memory-vs-torch", True, tmp_path) == 3
    (python, script, *options, out), path = seen
    assert python == sys.executable and script.endswith("memory_vs_torch.py") and options == ["--rounds", "1", "--out"]
    assert Path(out).parent == tmp_path and out.endswith("-memory-vs-torch.json") and path == str(ROOT)


def test_only_what_is_missing_is_installed_and_a_failure_stops_nothing(modules, monkeypatch, capsys):
    install, asked = modules("install_peers"), []
    have = {"torch": "2.13.0+cpu", "onnx": "1.0"}

    def run(command, **options):
        asked.append(command[-1])
        return subprocess.CompletedProcess(command, len(asked) == 1, stderr="one\nno such version\n")
    monkeypatch.setattr(install, "version", have.get)
    monkeypatch.setattr(install.subprocess, "run", run)
    assert install.main() == 0
    wanted = install.pins(install.REQUIREMENTS.read_text("utf-8"))
    assert asked == [f"{name}=={wanted[name]}" for name in wanted if name != "torch"] and len(asked) == 4
    assert f"{asked[0]} can not be installed, its rows are left out: no such version" in capsys.readouterr().err


def test_bin_becomes_the_script(monkeypatch):
    spec = importlib.util.spec_from_file_location("environment", ROOT / "bin" / "environment.py")
    environment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(environment)
    became = []
    monkeypatch.setattr(environment, "ensure", lambda extras: became.append(extras))
    monkeypatch.setattr(environment.os, "execv", lambda path, command: became.append(command))
    environment.main("bench", ["--quick"])
    assert became == [set(), [environment.PYTHON, ROOT / "benchmarks" / "everything.py", "--quick"]]
    assert os.access(ROOT / "bin" / "bench", os.X_OK)
