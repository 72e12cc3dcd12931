"""The rules of the house that a machine can read: where imports may point, what loads when, how long a file may be."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"benchmarks", "bin", "docs", "kernels", "minicnn", "tests"}
TEXT = {".py", ".md", ".cfg", ".toml", ".sh", ".txt", ""}
MAX_LINES = 400


def kept_files() -> list[Path]:
    """The files of the project, as git sees them: known to it, or new and not ignored."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"not a git checkout: {done.stderr.strip()}")
    return sorted(path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file())


def module_name(path: Path) -> str:
    """The name a source file is imported by; kernels/ is minicnn.kernels."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = ("minicnn", *parts) if parts[0] == "kernels" else parts
    return ".".join(parts).removesuffix(".__init__")


SOURCES = {module_name(path): path
           for folder in ("minicnn", "kernels") for path in sorted((ROOT / folder).rglob("*.py"))}


def imports(module: str, path: Path, everywhere: bool = True) -> set[str]:
    """Modules that a source file imports; with everywhere=False only those it loads when it is imported itself."""
    tree = ast.parse(path.read_text("utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree) if everywhere else at_import(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in SOURCES else base for name in names}
    return found


def at_import(node: ast.AST):
    """What runs below a node when the module is imported: no function bodies, nothing for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from at_import(child)


def own(names: set[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] == "minicnn"}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("text, expected", [
    ("import numpy.linalg", {"numpy.linalg"}),
    ("from . import base", {"minicnn.layers.base"}),
    ("from .base import Layer", {"minicnn.layers.base"}),
    ("from ..errors import UsageError", {"minicnn.errors"}),
    ("from .. import kernels", {"minicnn.kernels"}),
    ("from minicnn import errors, Sequential", {"minicnn.errors", "minicnn"}),
    ("def f():\n    from ..cli import screen", {"minicnn.cli.screen"}),
])
def test_imports_are_read_right(tmp_path, text, expected):
    path = tmp_path / "invented.py"
    path.write_text(text)
    assert imports("minicnn.layers.invented", path) == expected
    assert imports("minicnn.layers.invented", path, everywhere=False) == (set() if "def" in text else expected)


# Who may import what, lazily or not: a module of the folder on the left imports of minicnn only what is on the right.
ARROWS = {
    "minicnn.kernels": {"minicnn.kernels"},
    "minicnn.layers": {"minicnn.layers", "minicnn.kernels", "minicnn.arguments", "minicnn.errors",
                       "minicnn.initializers", "minicnn.memory", "minicnn.random"},
    "minicnn.arguments": {"minicnn.errors"},
    "minicnn.errors": set(),
    "minicnn.memory": {"minicnn.errors"},
    "minicnn.random": {"minicnn.errors", "minicnn.kernels"},
}


@pytest.mark.parametrize("package", ARROWS)
def test_arrows_point_down(package):
    modules = [name for name in SOURCES if within(name, package)]
    assert modules
    wrong = [f"{module} imports {name}" for module in modules for name in own(imports(module, SOURCES[module]))
             if not any(within(name, allowed) for allowed in ARROWS[package])]
    assert not wrong


def test_only_the_command_line_imports_the_command_line():
    above = {"minicnn.cli", "minicnn.__main__"}
    wrong = [f"{module} imports {name}" for module, path in SOURCES.items()
             if not any(within(module, package) for package in above)
             for name in imports(module, path) if within(name, "minicnn.cli") or within(name, "click")]
    assert not wrong


def test_no_circles():
    """Of two modules at most one imports the other, also by way of others: so there is an up and a down."""
    below = {module: own(imports(module, path, everywhere=False)) - {module} for module, path in SOURCES.items()}
    while free := {module for module, names in below.items() if not names & below.keys()}:
        below = {module: names for module, names in below.items() if module not in free}
    assert not below, "in a circle, or above one"


@pytest.mark.parametrize("statement, absent", [
    ("import minicnn", {"numba", "llvmlite", "click", "rich", "PIL", "safetensors"}),
    ("import minicnn.kernels", {"numba", "llvmlite", "click", "rich", "PIL", "safetensors"}),
    ("from minicnn.cli import main; main(['--help'])", {"numba", "llvmlite", "numpy", "rich", "PIL", "safetensors"}),
])
def test_what_an_import_does_not_load(statement, absent, tmp_path):
    code = f"{statement}\nimport sys\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not absent & set(done.stderr.split())


def test_prints_are_on_the_screens_floor():
    places = [f"{path.relative_to(ROOT)}:{node.lineno}" for module, path in SOURCES.items()
              if not within(module, "minicnn.cli") for node in ast.walk(ast.parse(path.read_text("utf-8")))
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "pprint")]
    assert not places


def test_every_module_says_what_it_is():
    silent = [module for module, path in SOURCES.items() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert not silent


def test_files_stay_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
               for path in kept_files() if path.suffix == ".py"}
    assert lengths and not {name: n for name, n in lengths.items() if n > MAX_LINES}


def test_no_paths_of_one_machine():
    home = re.compile(r"(?<![\w.])/(home|root|Users|work|mnt)/\w|\b[A-Z]:\\\\?Users")
    assert home.search("in " + "/home" + "/ada/minicnn") and not home.search("see docs/work/a and https://a.org/home/b")
    found = [f"{path.relative_to(ROOT)}:{number}" for path in kept_files() if path.suffix in TEXT
             for number, line in enumerate(path.read_text("utf-8").splitlines(), 1) if home.search(line)]
    assert not found


def test_the_list_of_folders():
    names = [path.relative_to(ROOT).parts for path in kept_files()]
    assert {parts[0] for parts in names if len(parts) > 1 and not parts[0].startswith(".")} == FOLDERS


def test_pyproject_is_three_lines():
    assert len((ROOT / "pyproject.toml").read_text("utf-8").splitlines()) == 3
