"""Write a file whole or not at all, also when the process is killed or the disk is full.

    temporary file in the same folder -> write -> fsync -> rename over the old file -> fsync of the folder

Until the rename the old file is untouched; the rename itself is atomic (POSIX); the two fsyncs put the bytes on the
disk before the name and the name before the return. A killed process leaves at most its temporary file, whose name
carries the process id: `remove_stale` deletes those whose process is gone.
"""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from .errors import EnvironmentProblem

TEMPORARY = re.compile(r"\.minicnn-(\d+)-[0-9a-f]+\.tmp")


def _read_umask() -> int:
    mask = os.umask(0o077)  # the mask can only be read by setting it
    os.umask(mask)
    return mask


# Read once, at import: the set-and-restore above would race with files that other threads create.
UMASK = _read_umask()


def write(path, *chunks) -> None:
    """Write the chunks (bytes-like), one after the other, as the file `path`.

    Raises EnvironmentProblem, and leaves an old file as it was, when the system refuses.
    """
    path = Path(path)
    temporary = path.parent / f".minicnn-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        _write_synced(temporary, chunks)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _write_synced(path: Path, chunks) -> None:
    # O_EXCL and O_NOFOLLOW: a file or link that someone planted under this name is refused, never followed.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    file = os.open(path, flags, 0o600)
    try:
        for chunk in chunks:
            rest = memoryview(chunk).cast("B")
            while rest:
                rest = rest[os.write(file, rest) :]
        if hasattr(os, "fchmod"):
            os.fchmod(file, 0o666 & ~UMASK)
        os.fsync(file)
    finally:
        os.close(file)


def sync_folder(folder) -> None:
    """Put the names in a folder on the disk. Raises OSError. Windows cannot open a folder and needs none of it."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_stale(folder) -> list[str]:
    """Delete the temporary files of dead processes in `folder`; returns their names."""
    removed = []
    for name in sorted(os.listdir(folder)):
        match = TEMPORARY.fullmatch(name)
        if match and not _alive(int(match[1])):
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))
                removed.append(name)
    return removed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # it exists and belongs to somebody else
    return True
