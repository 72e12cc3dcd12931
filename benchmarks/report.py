"""What the scripts share on the screen: options, conditions, the table of rates, JSON."""
from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import metadata
from pathlib import Path

from minicnn import machine

MISSING = 4         # exit code where a package is not installed
WRONG = 1           # exit code where contenders disagree


def version(package: str) -> str | None:
    """Of an installed package; None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def missing(script: str, *packages: str) -> bool:
    """Says so in one line where a package is not installed."""
    names = [package for package in packages if version(package) is None]
    if names:
        print(f"{script}: error: not installed here: {', '.join(names)}; try: pip install -r benchmarks/requirements.txt",
              file=sys.stderr)
    return bool(names)


def refuse(script: str, result: dict, what: str, tolerance: float) -> int:
    """Says that the contenders disagree, and gives the exit code."""
    print(f"{script}: error: {result['row']}: {what} differ by {result['disagreement']:.1e}, relative, more than {tolerance:g}; "
          "nothing more is timed", file=sys.stderr)
    return WRONG


def parser(description: str, rounds: int, seconds: float | None, threads: int | None = 2) -> argparse.ArgumentParser:
    """The common options with these defaults. threads=None: one thread, and no such option; seconds=None: no such option."""
    made = argparse.ArgumentParser(description=description)
    made.set_defaults(threads=1, seconds=None)
    if threads is not None:
        made.add_argument("--threads", type=int, default=threads, help=f"of each contender (default {threads})")
    made.add_argument("--rounds", type=int, default=rounds, help=f"blocks of each contender (default {rounds})")
    if seconds is not None:
        made.add_argument("--seconds", type=float, default=seconds, help=f"length of a block (default {seconds:g})")
    made.add_argument("--json", action="store_true", help="print JSON in place of the table")
    made.add_argument("--out", type=Path, help="write the JSON to this file as well")
    return made


def choice(made: argparse.ArgumentParser, name: str, known, default=None) -> None:
    """An option --name of comma-separated words out of `known`; by default all, or those of `default`."""
    def split(text: str) -> list[str]:
        words = text.split(",")
        if unknown := [word for word in words if word not in known]:
            raise argparse.ArgumentTypeError(f"no {unknown[0]!r}; known: {', '.join(known)}")
        return words
    made.add_argument(f"--{name}", type=split, default=list(default or known), metavar="A,B",
                      help=f"comma-separated, of {', '.join(known)} (default: {','.join(default) if default else 'all'})")


def parsed(made: argparse.ArgumentParser, argv) -> argparse.Namespace:
    options = made.parse_args(argv)
    if options.threads < 1 or options.rounds < 1 or not (options.seconds is None or options.seconds > 0):
        made.error("--threads, --rounds and --seconds must be above 0")
    return options


def conditions(script: str, options: argparse.Namespace, packages: tuple[str, ...], **more) -> dict:
    """What the figures depend on."""
    cpu = machine.cpu()
    peers = {package: found for package in packages if (found := version(package))}
    return {"date": time.strftime("%Y-%m-%d"), "script": script, "cpu": cpu["name"], "vector_units": cpu["vector_units"],
            "cores": machine.usable_cores(), "load_before": os.getloadavg()[0], "versions": machine.versions() | peers,
            "threads": options.threads, "rounds": options.rounds, "seconds": options.seconds} | more


def heading(found: dict) -> list[str]:
    """The conditions in three lines."""
    shown = {"minicnn", "python", "numba", "numpy"} | found["versions"].keys() - set(machine.PACKAGES)
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items() if name in shown)
    threads = f"{found['threads']} thread{'s' * (found['threads'] > 1)}"
    length = f" of {found['seconds']:g} s" if found["seconds"] else ""
    return [f"{found['cpu']}, {found['cores']} cores ({' '.join(found['vector_units'])}), load before {found['load_before']:.2f}",
            versions,
            f"{threads}, {found['rounds']} rounds{length} for each contender, float32"]


def rates_table(found: dict, unit: str) -> str:
    """Every contender's rates, with the ratio of each result and its target."""
    lines = [*heading(found), "", f"{unit:<34}{'median':>10}{'p20':>10}{'p80':>10}{'steps':>9}"]
    for result in found["results"]:
        goal = f", target {result['target']:g}" if result["target"] else ""
        compared = "nobody to compare with" if result["ratio"] is None else f"ratio {result['ratio']:.2f}{goal}"
        lines.append(f"{result['row']}: {compared}; contenders within {result['disagreement']:.0e}")
        for name, rate in result["rates"].items():
            numbers = "".join(f"{rate[key]:>10,.{0 if rate['median'] >= 100 else 1}f}" for key in ("median", "p20", "p80"))
            lines.append(f"  {name:<32}{numbers}{rate['steps']:>9,}")
        lines += [f"  {name}: {reason}" for name, reason in result.get("left_out", {}).items()]
        if "scaling" in result:
            lines.append(f"  {found['threads']} threads are {result['scaling']:.2f} times as fast as 1"
                         + (f", target {result['scaling_target']:g}" if result["scaling_target"] else "")
                         + f"; as many processes {result['scaling_of_processes']:.2f} times")
    return "\n".join(lines)


def finish(found: dict, table: str, options: argparse.Namespace) -> None:
    """Print the table or the JSON, and write the file that was asked for."""
    found["load_after"] = os.getloadavg()[0]
    text = json.dumps(found, indent=1)
    if options.out:
        options.out.write_text(text + "\n", "utf-8")
    print(text if options.json else table)
