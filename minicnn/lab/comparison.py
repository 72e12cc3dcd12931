"""This run beside an earlier one: each row against the row of the same kernel, problem and contender in a saved document.

The rounds of two runs have nothing in common, and a machine has its moods: the verdict says that the times differ, not why.
The roofs of both runs stand beside it; where they differ as much, it was the machine.
"""
from __future__ import annotations

from dataclasses import dataclass

from ..errors import DataError, UsageError
from ..strict_json import parse
from . import verdict


@dataclass(frozen=True)
class Earlier:
    """A document that --save wrote: its conditions in words, and the samples by (kernel, problem, contender)."""

    name: str
    conditions: str
    cold: bool
    rows: dict


def read(path: str) -> Earlier:
    """Raises UsageError (no such file), DataError (not a document of bench)."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise UsageError(f"--compare {path}: no such file") from None
    except OSError as error:
        raise DataError(f"--compare {path}: {error.strerror}") from None
    document = parse(data, f"--compare {path}")
    try:
        rows = {(entry["kernel"], entry["problem"], _who(row["who"])): (row["threads"], [float(s) for s in row["samples"]])
                for entry in document["problems"] for row in entry["rows"] if row["samples"]}
        roof = document["roof"]
        conditions = (f"{document['date'][:16]}, {document['machine']['cpu']}, "
                      f"roof {float(roof['gflops']):.0f} GFLOP/s, {float(roof['gbytes']):.1f} GB/s")
        if any(sample <= 0 for _, samples in rows.values() for sample in samples):
            raise ValueError
        return Earlier(path, conditions, bool(document["cold"]), rows)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(f"--compare {path} is not a file that minicnn bench --save wrote") from None


def lines(entry: dict, cold: bool, earlier: Earlier) -> list[str]:
    """What changed for one problem, a line for each row that was there before."""
    found = []
    for row in entry["rows"]:
        before = earlier.rows.get((entry["kernel"], entry["problem"], _who(row["who"])))
        if before is None or not row["samples"]:
            continue
        threads, samples = before
        if (threads, earlier.cold) != (row["threads"], cold):
            found.append(f"  {row['who']}: not to be compared, it was measured with {threads} threads, "
                         f"{'cold' if earlier.cold else 'warm'}")
            continue
        change = verdict.compare_runs(samples, row["samples"])
        found.append(f"  {row['who']}: {change.ratio:.2f} times the earlier time: {change.word}")
    return [f"against {earlier.name} ({earlier.conditions})", *found] if found else [f"nothing in {earlier.name} to compare with"]


def _who(name: str) -> str:
    """A contender without its version."""
    return name.split()[0]
