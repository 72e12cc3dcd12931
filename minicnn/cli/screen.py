"""What the verbs print and where: answers on stdout, notes beside them, errors on stderr; with --json one document on
stdout.

A terminal that knows only ASCII gets escapes instead of a crash; a reader that has left (`| head`) stops the printing,
not the work; names from files and folders are printed with control characters escaped, so no name can move the cursor.
"""

import json
import os
import sys
from contextlib import suppress

from ..errors import EnvironmentProblem


class Screen:
    """The printing of one verb.

    answer: what was asked for.  note: what happens on the way (not with --quiet).  warn: likewise, on a line with `!`.
    result: the JSON document (with --json only; then answers and notes go to stderr or nowhere).
    """

    def __init__(self, as_json: bool = False, quiet: bool = False):
        self.as_json, self.quiet = as_json, quiet

    def answer(self, text: str = "") -> None:
        if not self.as_json:
            _print(text, sys.stdout)

    def note(self, text: str = "") -> None:
        if not self.quiet:
            _print(text, sys.stderr if self.as_json else sys.stdout)

    def warn(self, text: str) -> None:
        self.note(f"  ! {text}")

    def result(self, document) -> None:
        if self.as_json:
            if sys.stdout is None:
                raise EnvironmentProblem("cannot write the answer: stdout is closed")
            _print(json.dumps(document, indent=2, allow_nan=False), sys.stdout)

    def on_terminal(self) -> bool:
        """Whether a moving progress bar makes sense."""
        usable = sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        return usable and not self.as_json and not self.quiet


def printable(text) -> str:
    """The text with control, format and surrogate characters escaped, so that it stays on one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def error(message: str) -> None:
    """`minicnn: error: ...` on stderr."""
    _print(f"minicnn: error: {printable(' '.join(message.split(chr(10))))}", sys.stderr)


def hint(text: str) -> None:
    """`minicnn: hint: ...` on stderr, one line for each line of the text."""
    for line in text.splitlines():
        _print(f"minicnn: hint: {printable(line)}", sys.stderr)


def warning(message, category, filename, lineno, file=None, line=None) -> None:
    """`minicnn: warning: ...` on stderr; stands in for warnings.showwarning."""
    _print(f"minicnn: warning: {printable(message)}", sys.stderr)


def help_on_stderr(text: str) -> None:
    """Several lines on stderr: the help of a command that was called without arguments."""
    _print(text, sys.stderr)


def prepare_streams() -> None:
    """Let stdout and stderr escape what the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Bring everything out while a failure can still be reported."""
    if sys.stdout is not None:
        with suppress(BrokenPipeError):
            sys.stdout.flush()


def discard(stream) -> None:
    """Point a stream whose reader has left to nowhere; the interpreter's own flush at exit then succeeds too."""
    with suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, stream.fileno())
        os.close(sink)


def _print(text: str, stream) -> None:
    if stream is None:  # closed before we started
        return
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        discard(stream)
    except OSError as problem:
        if stream is sys.stderr:
            return  # there is nowhere left to say it
        raise EnvironmentProblem(f"cannot write the answer: {problem.strerror}") from problem
