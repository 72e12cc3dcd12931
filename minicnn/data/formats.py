"""The one list of data formats, and what to say when none of them fits."""

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import DataError, UsageError
from . import digits, drawing, folder, idx, npz
from .names import printable
from .picture import looks_like


@dataclass(frozen=True)
class Format:
    """detects(path or name) -> bool; read(path or name) -> Source."""

    name: str
    detects: Callable
    read: Callable
    named: bool = False


def _is_name(name):
    # What exists as a path wins over a name.
    return lambda source: os.fspath(source) == name and not os.path.lexists(source)


# The one list of formats; the first that detects the source reads it, so `folder`, which takes any folder, comes last.
FORMATS = [
    Format("digits", _is_name("digits"), digits.read, named=True),
    Format("shapes", _is_name("shapes"), drawing.read, named=True),
    Format("npz", npz.detects, npz.read),
    Format("idx", idx.detects, idx.read),
    Format("folder", folder.detects, folder.read),
]


def detect(source, command):
    """The format that reads `source`.

    Raises UsageError where nothing has that name or path, with the nearest one that exists behind the words of
    `command`; DataError where there is something that no format reads.
    """
    chosen = next((one for one in FORMATS if one.detects(source)), None)
    if chosen:
        return chosen
    if os.path.lexists(source):
        raise DataError(f"{printable(source)}: {_why_not(source)}; expected {_expected()}")
    close = suggestion(source)
    if close and close in _names():
        raise UsageError(f"No data '{printable(source)}'. Did you mean: {command} {close} ?")
    if close:
        raise UsageError(f"{printable(close)} exists. Did you mean: {command} {printable(close)} ?")
    raise UsageError(f"No data '{printable(source)}': no such file or folder. Expected {_expected()}.")


def _names():
    return [one.name for one in FORMATS if one.named]


def _expected():
    return f"a folder with one folder per class, IDX files, an .npz file, or a name ({', '.join(_names())})"


def _why_not(path):
    try:
        if not os.path.isfile(path):
            return "neither a file nor a folder"
        with open(path, "rb") as file:
            kind = looks_like(file.read(16))
    except OSError as error:
        return error.strerror
    if "pickle" in kind:
        return "pickle files are refused, they can run code"
    return f"not a data set that can be read{kind}"


def suggestion(source) -> str | None:
    """A name or an existing neighbour that `source` may be a misspelling of; folders end with "/"."""
    text = os.fspath(source).rstrip("/")
    parent, wanted = os.path.split(text)
    try:
        with os.scandir(parent or ".") as entries:
            there = {entry.name: entry.name + "/" * entry.is_dir() for entry in entries}
    except OSError:
        there = {}
    there = {name: shown for name, shown in there.items() if not name.startswith(".")}
    names = {} if parent else {name: name for name in _names()}
    close = difflib.get_close_matches(wanted, sorted({**names, **there}), n=1, cutoff=0.6)
    return os.path.join(parent, {**names, **there}[close[0]]) if close else None
