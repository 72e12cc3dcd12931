"""minicnn imports and runs however it is installed: editable, as a wheel, as a wheel with the sources at hand.

The hard one is the last: Python started in the root of the sources takes ./minicnn for the installed package, and
./minicnn has no kernels/ inside (minicnn/_source_tree.py is the cure).
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("minicnn", "kernels", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
WHERE = "import minicnn, minicnn.kernels as k; assert k.KERNELS; print(minicnn.__file__); print(k.__file__)"


def run(*command, cwd):
    """The lines that a command prints; fails with all its output when it exits with anything but 0."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} in {cwd}:\n{done.stdout}{done.stderr}"
    return done.stdout.splitlines()


def imported_from(python, cwd):
    """The folders that minicnn and minicnn.kernels come from, for a Python started in cwd."""
    return [Path(line).parent for line in run(python, "-c", WHERE, cwd=cwd)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what a wheel is built from: a build leaves files behind, and the root is not the place for them."""
    copy = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory):
    """The wheel, built with the setuptools of this environment (no network)."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, tree, cwd=folder)
    [path] = folder.glob("minicnn_numba-*-py3-none-any.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A new virtual environment: the wheel, and behind it the packages (but not the minicnn) of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--no-deps",
        "--no-index", wheel, cwd=folder)
    # A folder named in a .pth file is put on the path; the .pth files in that folder (editable installs) are not read.
    [site] = folder.glob("lib/python*/site-packages")
    (site / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_wheel_holds_every_source_and_nothing_else(tree, wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    minicnn = {str(path.relative_to(tree)) for path in (tree / "minicnn").rglob("*") if path.is_file()}
    kernels = {f"minicnn/{path.relative_to(tree)}" for path in (tree / "kernels").rglob("*") if path.is_file()}
    assert names == minicnn | kernels
    assert "minicnn/data/digits.npz" in names and "minicnn/kernels/HOWTO.md" in names


def test_wheel_from_anywhere(environment, tmp_path):
    package, kernels = imported_from(environment, tmp_path)
    assert environment.parent.parent in package.parents
    assert kernels == package / "kernels"


def test_wheel_with_the_sources_as_current_folder(environment, tree):
    assert imported_from(environment, tree) == [tree / "minicnn", tree / "kernels"]


def test_editable_from_anywhere(tmp_path):
    assert imported_from(sys.executable, tmp_path) == [ROOT / "minicnn", ROOT / "kernels"]


def test_editable_with_the_sources_as_current_folder():
    assert imported_from(sys.executable, ROOT) == [ROOT / "minicnn", ROOT / "kernels"]


def test_editable_of_one_tree_within_another(tree):
    """The layers of one tree never meet the kernels of another."""
    assert imported_from(sys.executable, tree) == [tree / "minicnn", tree / "kernels"]


@pytest.mark.parametrize("place", ["nowhere", "sources"])
@pytest.mark.parametrize("start", ["module", "script"])
def test_the_command_starts(environment, tree, tmp_path, place, start):
    command = [environment, "-m", "minicnn"] if start == "module" else [environment.parent / "minicnn"]
    lines = run(*command, "--help", cwd=tree if place == "sources" else tmp_path)
    assert lines[0].startswith("Usage: minicnn ")
