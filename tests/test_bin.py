"""bin/minicnn and bin/test: what they set up, when, and that they become the command. A fake .venv, no network.

In the checkout of these tests `python -m venv` is replaced by FAKE_VENV, whose Python notes what it is asked to do and
shows what it would run; everything else (sh, lock, states, environment) is the real thing.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Takes the place of bin/environment.py and calls it, with another command for making a virtual environment.
DRIVER = """
import importlib.util, subprocess, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("real", Path(__file__).with_name("real.py"))
real = importlib.util.module_from_spec(spec)
spec.loader.exec_module(real)
run = subprocess.run
def fake(command, **options):
    if "venv" in command:
        command = ["sh", str(Path(__file__).with_name("fake_venv.sh")), command[-1]]
    return run(command, **options)
subprocess.run = fake
sys.exit(real.main(sys.argv[1], sys.argv[2:]))
"""
FAKE_VENV = """
echo venv >> "$NOTES"
mkdir -p "$1/bin" && touch "$1/pyvenv.cfg" && cp "$(dirname "$0")/fake_python.sh" "$1/bin/python"
"""
# -S is start.sh, which needs a real one. FAULT: fail or hang in pip, fail in ruff. CODE: the exit code of what is run in the end.
FAKE_PYTHON = f"""#!/bin/sh
case "$*" in *" -S "*) exec '{sys.executable}' "$@";; esac""" + """
case "$*" in
    *"-m pip install"*)
        echo "pip ${*##*-e }" >> "$NOTES"
        env | grep ^PIP_ | sort >> "$NOTES"
        [ "$FAULT" = hang ] && while [ ! -e "$NOTES.go" ]; do sleep 0.02; done
        [ "$FAULT" = fail ] && echo "no matching distribution" && exit 1
        exit 0;;
    *"-m ruff"*) echo ruff >> "$NOTES"; [ "$FAULT" != lint ]; exit;;
    *" -c "*) [ "$FAULT" != old ]; exit;;
esac
echo "foreign=$PYTHONPATH$PYTHONHOME"
pwd
for word in "$@"; do echo "$word"; done
exit ${CODE:-0}
"""


class Checkout:
    """A folder with bin/ and the two packaging files; `start` runs one of its commands."""

    def __init__(self, place: Path, notes: Path):
        self.place, self.notes = place, notes
        shutil.copytree(ROOT / "bin", place / "bin", ignore=shutil.ignore_patterns("__pycache__"))
        os.rename(place / "bin" / "environment.py", place / "bin" / "real.py")
        (place / "bin" / "environment.py").write_text(DRIVER)
        (place / "bin" / "fake_venv.sh").write_text(FAKE_VENV)
        (place / "bin" / "fake_python.sh").write_text(FAKE_PYTHON)
        (place / "bin" / "fake_python.sh").chmod(0o755)
        for name in ("setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, place)

    def begin(self, *command, cwd=None, **variables):
        """A started process; the first word is a path, or a name in bin/."""
        first = self.place / "bin" / command[0] if isinstance(command[0], str) else command[0]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
        return subprocess.Popen([first, *command[1:]], cwd=cwd or self.place, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=clean | {"NOTES": str(self.notes)} | variables)

    def start(self, *command, code=0, **options):
        """Runs to the end; returns (stdout, stderr), as lines. The exit code must be `code`."""
        process = self.begin(*command, **options)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        return out.splitlines(), err.splitlines()

    def done(self):
        """What the set-up did since the last call: "venv", "pip TARGET", "ruff"; settings of pip are left out."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith("PIP_")]


@pytest.fixture
def checkout(tmp_path):
    place = tmp_path / "a checkout"
    place.mkdir()
    return Checkout(place, tmp_path / "notes")


def test_first_use_sets_up_and_the_second_runs_at_once(checkout):
    out, err = checkout.start("minicnn", "train", "two words")
    assert out == ["foreign=", str(checkout.place), "-P", "-m", "minicnn", "train", "two words"]
    assert len(err) == 2 and "first use" in err[0] and "ready" in err[1]
    assert checkout.done() == ["venv", f"pip {checkout.place}"]
    again, err = checkout.start("minicnn", "train", "two words")
    assert (again, err, checkout.done()) == (out, [], [])


def test_any_folder_and_symbolic_links(checkout, tmp_path):
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / "mc").symlink_to(Path("..") / checkout.place.name / "bin" / "minicnn")
    (tmp_path / "link").symlink_to("elsewhere/mc")
    for first in (elsewhere / "mc", tmp_path / "link", checkout.place / "bin" / "minicnn"):
        out, _ = checkout.start(first, "doctor", cwd=elsewhere)
        assert out[1:] == [str(elsewhere), "-P", "-m", "minicnn", "doctor"]
    assert checkout.done() == ["venv", f"pip {checkout.place}"]


@pytest.mark.parametrize("command", ["minicnn", "test"])
def test_exit_codes_pass_through(checkout, command):
    checkout.start(command, code=5, CODE="5")


def test_lint_comes_first_and_stops_the_tests(checkout):
    out, _ = checkout.start("test", "-x", "-k", "conv2d")
    assert out[1:] == [str(checkout.place), "-m", "pytest", "-x", "-k", "conv2d"]
    assert checkout.done() == ["venv", f"pip {checkout.place}[test]", "ruff"]
    assert checkout.start("test", code=1, FAULT="lint")[0] == []


def test_paths_among_the_arguments_are_the_callers(checkout, tmp_path):
    (tmp_path / "test_a.py").touch()
    out, _ = checkout.start("test", "test_a.py::test_b", "-k", "c", cwd=tmp_path)
    assert out[1:] == [str(checkout.place), "-m", "pytest", f"{tmp_path}/test_a.py::test_b", "-k", "c"]


def test_one_environment_serves_both_commands(checkout):
    checkout.start("minicnn")
    checkout.start("test")
    assert checkout.done() == ["venv", f"pip {checkout.place}", f"pip {checkout.place}[test]", "ruff"]
    checkout.start("minicnn")
    assert checkout.done() == []


@pytest.mark.parametrize("name", ["setup.cfg", "pyproject.toml"])
def test_changed_packaging_is_installed_again_with_the_extras_that_were_there(checkout, name):
    checkout.start("test")
    checkout.done()
    with open(checkout.place / name, "a") as file:
        file.write("# more\n")
    checkout.start("minicnn")
    assert checkout.done() == [f"pip {checkout.place}[test]"]


def test_moved_checkout_is_set_up_anew(checkout):
    checkout.start("minicnn")
    checkout.done()
    checkout.place = checkout.place.rename(checkout.place.with_name("moved"))
    _, err = checkout.start("minicnn")
    assert "has moved" in err[0] and checkout.done() == ["venv", f"pip {checkout.place}"]


@pytest.mark.parametrize("change", ["gone", "other"])
def test_changed_python_is_noticed(checkout, change):
    checkout.start("minicnn")
    checkout.done()
    python = checkout.place / ".venv" / "bin" / "python"
    other = python.rename(python.with_name("python3.99"))
    if change == "other":
        python.symlink_to(other)
    _, err = checkout.start("minicnn")
    assert "has changed" in err[0] and checkout.done() == ["venv", f"pip {checkout.place}"]


@pytest.mark.parametrize("state", ["", "{", "[]", '"unfinished"', "\x00", None])
def test_damaged_or_unfinished_state_is_set_up_anew(checkout, state):
    venv = checkout.place / ".venv"
    if state is None:
        venv.mkdir()
    else:
        checkout.start("minicnn")
        checkout.done()
        (venv / "set-up.json").write_text(state)
    _, err = checkout.start("minicnn")
    assert "not finished" in err[0] and checkout.done() == ["venv", f"pip {checkout.place}"]


def test_failure_shows_the_log_and_the_next_start_tries_again(checkout):
    out, err = checkout.start("minicnn", code=4, FAULT="fail")
    assert out == [] and "    no matching distribution" in err
    assert err[-1].startswith("minicnn: error: ") and "set-up.log" in err[-1]
    assert not any("Traceback" in line for line in err)
    checkout.start("minicnn")
    assert checkout.done() == ["venv", f"pip {checkout.place}"] * 2


def begin_and_hang(checkout):
    """A first start whose pip has begun and does not end before the file NOTES.go is there."""
    process = checkout.begin("minicnn", FAULT="hang")
    end = time.monotonic() + 30
    while not (checkout.notes.exists() and "pip" in checkout.notes.read_text()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return process


def test_killed_set_up_is_waited_for_and_begun_again(checkout):
    """After kill -9 the orphaned pip still writes into .venv: the next start must wait for it, then begin anew."""
    first = begin_and_hang(checkout)
    first.kill()
    assert first.wait() == -9
    second = checkout.begin("minicnn")
    assert "waiting" in second.stderr.readline()
    Path(f"{checkout.notes}.go").touch()
    _, err = second.communicate(timeout=60)
    first.communicate()
    assert second.returncode == 0 and "not finished" in err
    assert checkout.done() == ["venv", f"pip {checkout.place}"] * 2


def test_interrupted_set_up_says_so_and_is_begun_again(checkout):
    first = begin_and_hang(checkout)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130 and err.splitlines()[-1].startswith("minicnn: error: interrupted")
    _, err = checkout.start("minicnn")
    assert "not finished" in err[0]


def test_two_starts_at_once_set_up_once(checkout):
    first = begin_and_hang(checkout)
    second = checkout.begin("minicnn")
    assert "waiting" in second.stderr.readline()
    Path(f"{checkout.notes}.go").touch()
    assert [first.wait(60), second.wait(60)] == [0, 0]
    first.communicate(), second.communicate()
    assert checkout.done() == ["venv", f"pip {checkout.place}"]


def test_settings_of_other_environments_are_kept_out(checkout, tmp_path):
    python = dict.fromkeys(("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"), str(tmp_path / "nowhere"))
    pip = {"PIP_TARGET": str(tmp_path / "t"), "PIP_NO_DEPS": "1", "PIP_USER": "1", "PIP_PROXY": "http://localhost:9"}
    out, _ = checkout.start("minicnn", **python, **pip)
    assert out[0] == "foreign="
    settings = [line for line in checkout.notes.read_text().splitlines() if line.startswith("PIP_")]
    assert settings == ["PIP_PROXY=http://localhost:9", "PIP_USER=0"]


def test_venv_made_by_hand_is_used_and_never_removed(checkout):
    venv = checkout.place / ".venv"
    by_hand = ["sh", checkout.place / "bin" / "fake_venv.sh", venv]
    subprocess.run(by_hand, env={**os.environ, "NOTES": os.devnull}, check=True)
    (venv / "mine").touch()
    _, err = checkout.start("minicnn", code=4, FAULT="old")
    assert "made by hand" in err[-1] and checkout.done() == []
    checkout.start("minicnn")
    assert checkout.done() == [f"pip {checkout.place}"] and (venv / "mine").exists()


def test_python_too_old(checkout, tmp_path):
    (tools := tmp_path / "tools").mkdir()
    for name in ("sh", "dirname", "readlink"):
        (tools / name).symlink_to(shutil.which(name))
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")       # as an old one answers
    (tools / "python3").chmod(0o755)
    _, err = checkout.start("minicnn", code=4, PATH=str(tools))
    assert len(err) == 1 and err[0].startswith("minicnn: error: no Python 3.11")


# A build back end in a page, so that the real venv and the real pip can be tried without a network.
BACKEND = """
import zipfile
from pathlib import Path
def build_editable(folder, config_settings=None, metadata_directory=None):
    name, info = "minicnn_numba-1-py3-none-any.whl", "minicnn_numba-1.dist-info"
    with zipfile.ZipFile(Path(folder, name), "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: minicnn-numba\\nVersion: 1\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""


def test_with_the_real_venv_and_the_real_pip(checkout, tmp_path):
    shutil.copy(ROOT / "bin" / "environment.py", checkout.place / "bin")
    (checkout.place / "backend.py").write_text(BACKEND)
    (checkout.place / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n')
    (checkout.place / "minicnn").mkdir()
    (checkout.place / "minicnn" / "__main__.py").write_text("import sys; print(sys.prefix, sys.argv[1:]); sys.exit(6)")
    (checkout.place / "minicnn" / "__init__.py").touch()
    out, _ = checkout.start("minicnn", "--json", cwd=tmp_path, code=6, PIP_NO_INDEX="1")
    assert out == [f"{checkout.place / '.venv'} ['--json']"]
    state = json.loads((checkout.place / ".venv" / "set-up.json").read_text())
    assert state["place"] == str(checkout.place) and state["extras"] == []
    # Beside the clone, which is called minicnn as the package is: that folder must not be taken for the package.
    (tmp_path / "minicnn").symlink_to(checkout.place)
    subprocess.run([checkout.place / ".venv/bin/python", "-c", "import minicnn.__init__"], cwd=tmp_path, check=True)
