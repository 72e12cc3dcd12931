"""Options that several verbs share, and the checks that come before a verb runs."""

import functools
import os
from dataclasses import dataclass

import click

from .screen import Screen

SEED_LIMIT = 1 << 63


@dataclass(frozen=True)
class Common:
    """The common options: where to print, how many threads (None: all usable cores), the seed."""

    screen: Screen
    threads: int | None
    seed: int


class Verb(click.Command):
    """A command that knows the commonest slip: `epochs=3` for `--epochs 3`."""

    def parse_args(self, ctx, args):
        known = {name for parameter in self.params for name in parameter.opts}
        for word in args:
            name, equals, value = word.partition("=")
            if equals and f"--{name}" in known and not os.path.exists(word):
                raise click.UsageError(f"Options are written --{name} {value}.", ctx)
        return super().parse_args(ctx, args)


def common(function):
    """Add --json --quiet --threads --seed; the function gets them as its first argument, a Common."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document, messages on stderr.")
    @click.option("--quiet", is_flag=True, help="Print the answer and errors only.")
    @click.option("--threads", type=click.IntRange(min=1), help="Threads to use; default: all usable cores.")
    @click.option("--seed", type=click.IntRange(0, SEED_LIMIT - 1), default=0, show_default=True, help="Seed of all randomness.")
    @functools.wraps(function)
    def with_common(*args, as_json, quiet, threads, seed, **kwargs):
        screen = Screen(as_json, quiet)
        return function(Common(screen, clamp(threads, screen), seed), *args, **kwargs)

    return with_common


def clamp(threads: int | None, screen: Screen) -> int | None:
    """At most four threads per usable core: more would only wait for each other."""
    from ..machine import usable_cores

    if threads is None or threads <= (most := 4 * usable_cores()):
        return threads
    screen.warn(f"--threads {threads} lowered to {most}: this process may use {usable_cores()} cores")
    return most


class Split(click.ParamType):
    """`80,10,10`: the shares of train, val and test in percent."""

    name = "TRAIN,VAL,TEST"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        try:
            shares = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            shares = ()
        if len(shares) != 3 or not all(0 <= share <= 100 for share in shares) or abs(sum(shares) - 100) > 1e-9 or shares[0] <= 0:
            self.fail(
                f"'{value}' must be three percentages of train, val and test that add up to 100, like 80,10,10",
                param,
                ctx,
            )
        return shares


def read_config(ctx, _, path):
    """--config FILE.toml: its keys are the long options without dashes; the command line wins over them."""
    if path is None:
        return
    import difflib
    import tomllib

    try:
        with open(path, "rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise click.UsageError(f"--config {path}: {error.strerror}", ctx) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--config {path}: {error}", ctx) from None
    options = {opt[2:]: parameter for parameter in ctx.command.params for opt in parameter.opts if opt.startswith("--")}
    for key, value in values.items():
        if key not in options or key in ("config", "help"):
            near = difflib.get_close_matches(key, options, 1)
            raise click.UsageError(f"--config {path}: no option '{key}'." + (f" Did you mean '{near[0]}'?" if near else ""), ctx)
        many = options[key].multiple and isinstance(value, list)
        if not all(isinstance(one, str | int | float | bool) for one in (value if many else [value])):
            raise click.UsageError(f"--config {path}: '{key}' must be a text or a number", ctx)
        if options[key].multiple and not many:
            values[key] = [value]
    ctx.default_map = {options[key].name: value for key, value in values.items()}
