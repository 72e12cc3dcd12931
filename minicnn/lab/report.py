"""What `bench` says: the document for JSON, and the same as a table for a screen.

{"minicnn", "date", "machine": {"cpu", "vector_units", "cores"}, "versions", "threads", "cold", "seconds" (of each row),
 "roof": {"gflops", "gbytes", "threads"},
 "problems": [{"problem", "label", "kernel", "flops", "bytes", "intensity" (flops per byte),
   "rows": [{"who", "device", "threads", "verdict": "oracle" | "ok" | "wrong" | "absent", "why", "max_error", "median", "p20",
             "p80", "samples", "rounds", "gflops", "gbytes", "of_roof", "versus_cpu", "comparison", "compile", "xray"}]}]}

Times are seconds of one call. max_error: the largest abs(y - exact) / sum of the absolute values of the terms of y, on random
data. samples and rounds: one time for each round that the contender took part in, and the number of that round. of_roof: the
share of min(roof gflops, intensity * roof gbytes). versus_cpu: how many times as fast as the cpu column, by the rounds both
took part in; comparison: what verdict.py says of them. What is not known is null.
"""
from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from .. import machine
from . import roof, torch_peer, verdict
from .measure import Settings

HEADER = ("who", "device", "threads", "max err", "verdict", "median", "p20-p80", "GFLOP/s", "GB/s", "of roof", "vs cpu",
          "compile")
LEFT = {"who", "device", "verdict"}
WORDS = {verdict.SAME: "the same", verdict.FASTER: "faster, clearly", verdict.SLOWER: "slower, clearly",
         verdict.UNCLEAR: "no telling", None: ""}


@dataclass
class Report:
    """The problems measured so far, under one set of conditions."""

    settings: Settings
    problems: list[dict] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """Who was wrong, and where."""
        return [f"{row['who']} ({entry['kernel']} {entry['problem']})" for entry in self.problems for row in entry["rows"]
                if row["verdict"] == "wrong"]

    def document(self) -> dict:
        """Plain data; see the module."""
        cpu, (gflops, gbytes) = machine.cpu(), roof.measure(self.settings.threads)
        versions = machine.versions() | ({"torch": torch} if (torch := torch_peer.version()) else {})
        return {
            "minicnn": versions["minicnn"], "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": {"cpu": cpu["name"], "vector_units": cpu["vector_units"], "cores": machine.usable_cores()},
            "versions": versions, "threads": self.settings.threads, "cold": self.settings.cold,
            "seconds": self.settings.seconds,
            "roof": {"gflops": gflops, "gbytes": gbytes, "threads": self.settings.threads}, "problems": self.problems,
        }

    def table(self) -> str:
        """All of it as text."""
        return "\n\n".join([head(self.settings), *("\n".join(lines(entry)) for entry in self.problems)])

    __str__ = __repr__ = table


def head(settings: Settings) -> str:
    """The conditions in one line."""
    gflops, gbytes = roof.measure(settings.threads)
    return (f"{count(settings.threads, 'thread')}, {'cold' if settings.cold else 'warm'} caches; roof measured now: "
            f"{gflops:.0f} GFLOP/s, {gbytes:.1f} GB/s")


def lines(entry: dict) -> list[str]:
    """One problem: its costs, and a line for each contender."""
    name = f"{entry['kernel']} {entry['problem']}" + (f" ({entry['label']})" if entry["label"] else "")
    cells = [HEADER] + [_cells(row) for row in entry["rows"] if row["median"] is not None]
    widths = [max(len(line[k]) for line in cells) for k in range(len(HEADER))]
    found = [f"{name}: {entry['flops'] / 1e9:.3g} GFLOP, {entry['bytes'] / 1e6:.3g} MB, {entry['intensity']:.3g} flop/byte"]
    found += [_aligned(HEADER, widths)] if len(cells) > 1 else []
    for row in entry["rows"]:
        if row["median"] is None:
            text = f"{row['who'].ljust(widths[0])}  {row['verdict'] if row['verdict'] != 'absent' else '-'}  {row['why'] or ''}"
            found.append(text + ("; no timing: the result is wrong" if row["verdict"] == "wrong" else ""))
        else:
            remark = "; ".join(word for word in (WORDS[row["comparison"]], row["why"]) if word)
            found.append(f"{_aligned(_cells(row), widths)}  {remark}".rstrip())
    return found


def _aligned(cells, widths) -> str:
    return "  ".join(cell.ljust(width) if title in LEFT else cell.rjust(width)
                     for title, cell, width in zip(HEADER, cells, widths, strict=True)).rstrip()


def _cells(row: dict) -> tuple[str, ...]:
    error = "-" if row["max_error"] is None else f"{row['max_error']:.0e}" if row["max_error"] else "0"
    ratio = "-" if row["versus_cpu"] is None else _ratio(row["versus_cpu"])
    compiled, share = "-" if row["compile"] is None else f"{row['compile']:.1f} s", f"{row['of_roof']:.0%}"
    return (row["who"], row["device"], str(row["threads"]), error, row["verdict"], duration(row["median"]),
            spread(row["p20"], row["p80"], row["median"]), number(row["gflops"]), number(row["gbytes"]), share, ratio, compiled)


def number(value: float) -> str:
    """Two or three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """`4.1 ms`."""
    unit, factor = _unit(seconds)
    return f"{_three(seconds * factor)} {unit}"


def spread(low: float, high: float, median: float) -> str:
    """`4.0-4.2`, in the unit of the median."""
    _, factor = _unit(median)
    return f"{_three(low * factor)}-{_three(high * factor)}"


def count(n: int, noun: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _unit(seconds: float) -> tuple[str, float]:
    return ("s", 1.0) if seconds >= 1 else ("ms", 1e3) if seconds >= 1e-3 else ("us", 1e6)


def _ratio(value: float) -> str:
    return f"{value:.2f}x" if value >= 0.01 else f"{value:.1g}x"


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
