"""Run command lines: in this process where that shows the same, and as a process of its own where it does not."""

import contextlib
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from minicnn import cli


class Result(NamedTuple):
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The error lines, without their beginning."""
        start = "minicnn: error: "
        return [line[len(start) :] for line in self.err.splitlines() if line.startswith(start)]


def run(*words, at=None) -> Result:
    """minicnn WORDS in this process, in the folder `at`: everything but the start of the interpreter."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(at or os.curdir), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(word) for word in words])
    return Result(code, out.getvalue(), err.getvalue())


def command(*words) -> list[str]:
    """The command line for subprocess."""
    return [sys.executable, "-m", "minicnn", *(str(word) for word in words)]


def spawn(*words, at=None, env=None, **options) -> Result:
    """minicnn WORDS as a process of its own; env: what differs from this process's."""
    done = subprocess.run(
        command(*words), cwd=at, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=120, **options
    )
    return Result(done.returncode, done.stdout, done.stderr)


def fails(result: Result, code: int, text: str = "") -> str:
    """Assert a failure as documented: the exit code, one error line that holds `text`, no traceback; returns the line."""
    assert result.code == code, result
    assert len(result.errors) == 1, result.err
    assert "Traceback" not in result.err
    assert text in result.errors[0], result.errors[0]
    return result.errors[0]


def tree(folder) -> dict[str, str]:
    """Every file below a folder, with a hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
