"""`minicnn VERB ...`: find the verb, run it, and turn every failure into one line and an exit code.

A verb is a file of this folder with a click command named `command`; it returns None or an exit code. Verbs are
imported when they are called: `minicnn --help` reads the table below and nothing else.
"""

import difflib
import importlib
import os
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import click

from ..errors import MinicnnError
from . import screen

VERBS = {
    "train": "Train a classifier.",
    "evaluate": "Precision, recall, F1 and confusion of a trained run.",
    "predict": "Label images.",
    "check": "Check the gradients of a layer or a net.",
    "bench": "Kernel lab: correct first, then fast; roofline.",
    "doctor": "What this machine can do; caches; versions.",
}
BUG, INTERRUPTED = 70, 130


class Verbs(click.Group):
    """A group whose help needs no verb's module."""

    def list_commands(self, ctx):
        return list(VERBS)

    def get_command(self, ctx, name):
        return importlib.import_module(f".{name}", __package__).command if name in VERBS else None

    def resolve_command(self, ctx, args):
        if args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, 1)
            guess = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"No verb '{args[0]}'.{guess} Known: {' '.join(VERBS)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx, formatter):
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def show_version(ctx, _, wanted):
    """Print the version and leave."""
    if wanted:
        from .. import __version__

        click.echo(f"minicnn {__version__}")
        ctx.exit()


@click.group(cls=Verbs, subcommand_metavar="VERB ...", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Print the version.")
def app():
    """Convolutional networks, from scratch, on NumPy and Numba.

    `minicnn train digits` trains on 1,797 handwritten digits that come with minicnn.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns its exit code (the list is in errors.py)."""
    screen.prepare_streams()
    with warnings.catch_warnings():
        warnings.showwarning = screen.warning
        return _run(list(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    try:
        with app.make_context("minicnn", arguments) as context:
            code = app.invoke(context)
        screen.flush()
        return code or 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        screen.help_on_stderr(error.format_message())
        screen.error("no verb given")
        return 2
    except BrokenPipeError:  # help that was piped into a program that has left
        screen.discard(sys.stdout)
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("MINICNN_DEBUG") == "1":
            traceback.print_exc()
        return fail(error)


def fail(error: BaseException) -> int:
    """Print the line of a failure and its hints; returns the exit code."""
    hint, code = getattr(error, "hint", None), 4
    match error:
        case MinicnnError():
            message, code = str(error), error.exit_code
        case click.ClickException():
            message, code, hint = error.format_message(), 2, _usage_hint(error)
        case KeyboardInterrupt():
            message, code = str(error) or "interrupted", INTERRUPTED
        case MemoryError():
            message = f"not enough memory ({error})" if str(error) else "not enough memory"
            hint = hint or "Try a smaller --batch or --size."
        case ModuleNotFoundError() if error.name and not error.name.startswith("minicnn"):
            message = f"the package {error.name} is missing; install it with: pip install {error.name}"
        case OSError():
            message = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part is not None)
        case _:
            where = _write_bug(error)
            message, code = f"this is a bug in minicnn: {type(error).__name__}: {error}", BUG
            hint = f"The traceback is in {where}; please report it." if where else "MINICNN_DEBUG=1 shows the traceback."
    screen.error(message)
    if hint:
        screen.hint(hint)
    return code


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"Try: {context.command_path if context else 'minicnn'} --help"


def _write_bug(error: BaseException) -> str | None:
    """Keep the traceback in the run's folder where there is one, else among the temporary files; returns the path."""
    text = "".join(traceback.format_exception(error))
    try:
        if folder := getattr(error, "run_folder", None):
            from ..run_folder import BUG as TRACEBACK

            path = Path(folder) / TRACEBACK
            path.write_text(text, "utf-8", "backslashreplace")
            return str(path)
        handle, name = tempfile.mkstemp(prefix="minicnn-bug-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return name
    except OSError:
        return None
