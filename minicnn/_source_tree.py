"""Finds `minicnn.kernels` in ../kernels when minicnn is imported from a source tree that was not installed.

An installed minicnn has its kernels/ inside, and an editable install knows where they are; neither needs this. Without
it, Python started in the root of a source tree takes ./minicnn for the installed one and finds no kernels in it, or,
worse, those of another tree that is installed as editable. docs/decisions.md says why it is a finder.
"""

import sys
from importlib.util import spec_from_file_location
from pathlib import Path

PACKAGE = Path(__file__).parent
BESIDE = PACKAGE.parent / "kernels" / "__init__.py"


class BesideFinder:
    """Answers for the one name `minicnn.kernels`."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """The spec of ../kernels, or None for every other module."""
        return spec_from_file_location(name, BESIDE) if name == "minicnn.kernels" else None


if BESIDE.exists() and not (PACKAGE / "kernels").exists():
    sys.meta_path.insert(0, BesideFinder)       # in front: the kernels of this tree belong to this tree's layers
