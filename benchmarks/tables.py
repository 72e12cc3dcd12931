"""Writes the tables of benchmarks/README.md from the newest results.

    python benchmarks/tables.py

results/2026-11-25-train-vs-torch.json is what train_vs_torch.py said that day. What stands in README.md between a line
`<!-- table: train-vs-torch -->` and `<!-- end of table -->` is replaced. Every row is shown, with its target beside it, those
that miss it in bold.
"""
from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from report import heading

FOLDER = Path(__file__).parent
UNITS = {
    "train-vs-torch": "images per second", "infer-vs-onnxruntime": "images per second", "conv-vs-torch": "GFLOP/s",
    "roof-share": "GFLOP/s, GB/s", "memory-vs-torch": "MB above the imports", "peers": "images per second",
}
MARKED = re.compile(r"(<!-- table: (\S+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


def newest(results: Path, name: str) -> dict | None:
    """The latest result of a script; None where there is none."""
    dated = re.compile(r"\d{4}-\d\d-\d\d-" + re.escape(name) + r"\.json")
    files = sorted(path for path in results.glob("*.json") if dated.fullmatch(path.name))
    return json.loads(files[-1].read_text("utf-8")) | {"file": files[-1].name} if files else None


def reached(result: dict, key: str = "ratio", target: str = "target") -> bool:
    return result[key] <= result[target] if result.get("less_is_better") else result[key] >= result[target]


def table(found: dict, unit: str) -> str:
    """Markdown: the conditions, a row for each result, what was left out, how many rows reach their target."""
    results = found["results"]
    contenders = list(dict.fromkeys(name for result in results for name in result["rates"]))
    scaling = any("scaling" in result for result in results)
    lines = [f"{found['date']}. " + ". ".join(heading(found)) + f". All figures: `results/{found['file']}`.", ""]
    many = f"{found['threads']} threads to 1", "target", f"{found['threads']} processes to 1"
    columns = [unit, *contenders, "ratio", "target", *(many if scaling else ())]
    lines += ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for result in results:
        rates = [number(result["rates"][name]["median"]) if name in result["rates"] else "–" for name in contenders]
        cells = [f"{result['row']}", *rates, *judged(result, "ratio", "target")]
        if scaling:
            cells += [*judged(result, "scaling", "scaling_target"), judged(result, "scaling_of_processes", "")[0]]
        lines.append("| " + " | ".join(cells) + " |")
    notes = [f"{result['row']}: {name} {reason}." for result in results for name, reason in result.get("left_out", {}).items()]
    aims = [result for result in results if result["target"]]
    if aims:
        notes.append(f"{sum(map(reached, aims))} of {len(aims)} rows reach their target"
                     + (" (at most)." if any(result.get("less_is_better") for result in aims) else " (at least)."))
    return "\n".join(lines + ([""] + notes if notes else [])) + "\n"


def judged(result: dict, key: str, target: str) -> list[str]:
    """A ratio and its target, as two cells; the ratio is bold where it is not reached."""
    if result.get(key) is None:
        return ["–", "–"]
    if not result.get(target):
        return [f"{result[key]:.2f}", "–"]
    text = f"{result[key]:.2f}"
    return [text if reached(result, key, target) else f"**{text}**", f"{result[target]:g}"]


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def rewritten(text: str, results: Path) -> str:
    """README.md with the tables of the newest results between its markers."""
    if text.count("<!-- table: ") != len(MARKED.findall(text)):
        raise ValueError("README.md: a line <!-- table: NAME --> has no <!-- end of table --> behind it")

    def fill(match) -> str:
        begin, name, _, end = match.groups()
        if name not in UNITS:
            raise ValueError(f"README.md: no script writes a table {name!r}; known: {', '.join(UNITS)}")
        found = newest(results, name)
        return begin + (table(found, UNITS[name]) if found else "Not measured yet.\n") + end
    return MARKED.sub(fill, text)


def main(readme: Path = FOLDER / "README.md", results: Path = FOLDER / "results") -> int:
    try:
        text = rewritten(readme.read_text("utf-8"), results)
    except ValueError as failure:
        print(f"tables: error: {failure}", file=sys.stderr)
        return 1
    readme.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
