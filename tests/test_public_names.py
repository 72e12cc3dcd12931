"""The names of `import minicnn as mc`: all there, and found only when they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn as mc


def test_every_public_name_exists():
    for name in mc.__all__:
        assert getattr(mc, name) is not None
    assert set(mc.__all__) <= set(dir(mc)) and sorted(set(mc.__all__)) == sorted(mc.__all__)


def test_names_for_type_checkers_are_the_same():
    tree = ast.parse(Path(mc.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    names = {alias.asname or alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    names |= {node.target.id for node in block.body if isinstance(node, ast.AnnAssign)}
    assert names == set(mc.__all__)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="module 'minicnn' has no attribute 'Conv3D'"):
        _ = mc.Conv3D


def test_a_net_needs_no_compiler():
    code = ("import minicnn as mc, sys; mc.Sequential([mc.Dense(3)], (4,), dtype='float64').predict([[1, 2, 3, 4]]); "
            "assert 'numba' not in sys.modules and 'click' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)
