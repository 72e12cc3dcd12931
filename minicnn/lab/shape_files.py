"""Shape files: a problem a line, after the operation that it belongs to; `#` begins a comment.

    conv    mb128ic1ih28oc6kh5ph2n"LeNet-5 conv 1"
    maxpool mb128ic6ih28kh2sh2

A line without an operation belongs to whatever is measured.
"""
from __future__ import annotations

from ..errors import DataError, UsageError
from .operations import is_known

COMMENT = "#"


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
        words = line.partition(COMMENT)[0].split(maxsplit=1)
        if not words:
            continue
        place = f"{path}, line {number}"
        if len(words) == 2 and '"' not in words[0]:
            if not is_known(words[0]):
                raise DataError(f"{place}: no operation '{words[0]}'")
            found.append((words[0], words[1].strip(), place))
        else:
            found.append((None, line.partition(COMMENT)[0].strip(), place))
    if not found:
        raise DataError(f"{path} has no problems: a problem a line, as: conv mb32ic16ih28oc32kh3ph1")
    return found
