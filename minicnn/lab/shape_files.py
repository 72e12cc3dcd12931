"""Shape files: a problem a line, after the operation that it belongs to; `#` begins a comment.

    conv    mb128ic1ih28oc6kh5ph2n"LeNet-5 conv 1"
    maxpool mb128ic6ih28kh2sh2

A line without an operation belongs to whatever is measured.
"""
from __future__ import annotations

import re

from ..errors import DataError, UsageError
from .operations import is_known

_BEFORE_COMMENT = re.compile(r'(?:[^#"]|"[^"]*"|")*')


def read(path: str) -> list[tuple[str | None, str, str]]:
    """[(operation or None, problem string, place for messages)]. Raises UsageError (no such file), DataError."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}") from None
    found = []
    for number, line in enumerate(lines, 1):
        text, place = _BEFORE_COMMENT.match(line)[0].strip(), f"{path}, line {number}"
        if not text:
            continue
        operation, *rest = text.split(maxsplit=1)
        if not rest or '"' in operation:
            found.append((None, text, place))
        elif is_known(operation):
            found.append((operation, *rest, place))
        else:
            raise DataError(f"{place}: no operation '{operation}'")
    if not found:
        raise DataError(f"{path} has no problems: a problem a line, as: conv mb32ic16ih28oc32kh3ph1")
    return found
