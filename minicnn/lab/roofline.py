"""The roofline picture: how fast each row ran, below what this machine can do at that arithmetic intensity.

    roof(intensity) = min(gflops, intensity * gbytes)          Williams, Waterman, Patterson: Roofline, CACM 52 (2009)

Both axes are logarithmic. One point a row, its bar from p20 to p80, joined with the others of the same problem by a thin
line; colour and shape tell the contender. A row without times (wrong, absent) or without arithmetic has no point. A point
above the slope got its data from a cache. matplotlib (the extra `plots`) is loaded only here.
"""
import io
import math
import re
import sys
import textwrap
import warnings
from pathlib import Path

from .. import atomic
from ..errors import EnvironmentProblem, UsageError
from .roofline_labels import BELOW, SIDE, place

# Okabe and Ito's colours, which most colour-blind readers can tell apart, as far as they show on white and on black.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
MARKERS = "osD^vPX*"
INK, MUTED, GRID = "#1d2024", "#6a6e74", "#d9dbdf"         # the page puts its own colours in place of these three
NAMED = 9           # more problems than this are numbered, with a key
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "minicnn", "font.family": "sans-serif", "font.size": 9,
            "text.parse_math": False, "figure.dpi": 100, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED,
            "xtick.color": MUTED, "ytick.color": MUTED}


def draw(document: dict, path) -> None:
    """Writes the picture as SVG or PNG, by the suffix of `path`."""
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in ("svg", "png"):
        raise UsageError(f"the picture's name must end in .svg or .png, not {Path(path).name}")
    atomic.write(path, _render(document, kind))


def svg(document: dict) -> str:
    """The picture as an <svg> element to stand within a page: no header, no metadata, nothing that refers outside."""
    text = _render(document, "svg").decode("utf-8")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg"):], flags=re.DOTALL)
    text = re.sub(r'\sxmlns(?::\w+)?="[^"]*"', "", text).replace("xlink:href=", "href=")
    text = text.replace("*{stroke", "svg *{stroke")
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 role="img" aria-label="Roofline">', text, count=1)


def points(document: dict) -> list[tuple[dict, dict]]:
    """(problem, row) of every point."""
    return [(problem, row) for problem in document["problems"] for row in problem["rows"]
            if row["verdict"] in ("ok", "oracle") and row["gflops"] and problem["intensity"]]


def shown(name) -> str:
    """A name as it may stand in a picture or page: one line of characters that can be seen."""
    return "".join(c if c.isprintable() else "?" for c in str(name))


def _render(document, kind):
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        command = f"{sys.executable} -m pip install 'matplotlib>=3.8'"
        raise EnvironmentProblem(f"a picture needs matplotlib; add it with: {command}") from error
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")          # a name in letters that the font lacks
        figure = Figure(layout="none")
        FigureCanvasAgg(figure)                 # measures the texts, for SVG too
        _picture(figure, document)
        file = io.BytesIO()
        clean = {"metadata": dict.fromkeys(("Creator", "Date", "Format", "Type"))} if kind == "svg" else {"dpi": 150}
        figure.savefig(file, format=kind, transparent=kind == "svg", **clean)
    return file.getvalue()


def _picture(figure, document):
    found, roof = points(document), document["roof"]
    columns = _columns(document, found)
    key = _key(columns) if len(columns) > NAMED else []
    below = 1.05 + 0.16 * len(key)      # inches for the legend and the key
    figure.set_size_inches(8.6, 4.4 + below)
    axes = figure.add_axes((0.085, below / (4.4 + below), 0.885, 3.5 / (4.4 + below)))
    axes.set(xscale="log", yscale="log", xlabel="arithmetic intensity (floating point operations per byte)", ylabel="GFLOP/s")
    left, right, low, high = _limits(found, roof)
    axes.set(xlim=(left, right), ylim=(low, high))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(lambda value, _: "")
    axes.grid(True, which="major", color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    _roof(axes, roof, left, right)
    contenders = list(dict.fromkeys(row["who"] for _, row in found))
    _points(axes, found, columns, contenders)
    _title(figure, document, found)
    if len(columns) == 1:               # room to name every point
        names = [(p["intensity"], r["gflops"], f"{shown(r['who'])}  {r['gflops']:.3g} GFLOP/s", SIDE) for p, r in found]
    else:
        names = [(x, y, str(k) if key else name, BELOW) for x, y, _, k, name in sorted(columns, key=lambda column: column[1])]
        figure.text(0.085, 0.015, "\n".join(key), size=7, family="monospace", linespacing=1.5)
    _legend(figure, axes, contenders, 0.16 * len(key) / (4.4 + below))
    ridge = roof["gflops"] / roof["gbytes"]
    lines = [(left, left * roof["gbytes"], ridge, roof["gflops"]), (ridge, roof["gflops"], right, roof["gflops"])]
    lines += [(x, low, x, high) for x, low, high, *_ in columns]
    place(axes, names, [(p["intensity"], r["gflops"]) for p, r in found], lines, INK, MUTED)


def _columns(document, found):
    """(intensity, lowest, highest, number from 1, name) of each problem that has points."""
    columns = []
    for k, problem in enumerate(document["problems"], 1):
        heights = [row["gflops"] for p, row in found if p is problem]
        if heights:
            name = shown(problem["label"] or problem["problem"])
            columns.append((problem["intensity"], min(heights), max(heights), k, name))
    return columns


def _key(columns):
    """The names of numbered columns, three on a line, read downwards."""
    names = [f"{k:2} {name[:34]:34}" for *_, k, name in columns]
    lines = -(-len(names) // 3)
    return [" ".join(names[k::lines]) for k in range(lines)]


def _limits(found, roof):
    """(left, right, low, high): the ridge and all points, with room around."""
    ridge = roof["gflops"] / roof["gbytes"]
    across = [p["intensity"] for p, _ in found] + [ridge]
    up = [r["gflops"] for _, r in found] + [roof["gflops"]]
    return min(across) / 3, max(across) * 4, min(min(up) / 5, roof["gflops"] / 30), max(up) * 2.5


def _roof(axes, roof, left, right):
    """The two lines, each with its number written along it."""
    ridge = roof["gflops"] / roof["gbytes"]
    axes.plot([left, ridge, right], [left * roof["gbytes"], roof["gflops"], roof["gflops"]], color=INK, linewidth=1.6)
    over = {"ha": "right", "va": "bottom", "color": INK, "textcoords": "offset points", "annotation_clip": True}
    axes.annotate(f"{roof['gflops']:.3g} GFLOP/s", (right, roof["gflops"]), (-2, 3), **over)
    low, _ = axes.get_ylim()
    start = max(left, low / roof["gbytes"])
    middle = (start * ridge) ** 0.5
    (x0, y0), (x1, y1) = axes.transData.transform([(start, start * roof["gbytes"]), (ridge, roof["gflops"])])
    axes.annotate(f"{roof['gbytes']:.3g} GB/s", (middle, middle * roof["gbytes"]), (-3, 3), color=INK, textcoords="offset points",
                  ha="center", va="bottom", rotation=math.degrees(math.atan2(y1 - y0, x1 - x0)), rotation_mode="anchor")


def _points(axes, found, columns, contenders):
    for x, low, high, *_ in columns:
        axes.plot([x, x], [low, high], color=MUTED, linewidth=0.5, zorder=1.5)
    for problem, row in found:
        style = _style(contenders.index(row["who"]))
        if row["p20"] and row["p80"]:
            axes.plot([problem["intensity"]] * 2, [row["gflops"] * row["median"] / row[p] for p in ("p80", "p20")],
                      color=style["color"], linewidth=2, alpha=0.6, zorder=2)
        axes.plot(problem["intensity"], row["gflops"], linestyle="", markersize=6, markeredgecolor="white", markeredgewidth=0.5,
                  **style)


def _style(k):
    return {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}


def _title(figure, document, found):
    machine, roof, problems = document["machine"], document["roof"], document["problems"]
    top = figure.get_size_inches()[1]
    title = f"{shown(machine['cpu'])[:60]}, {document['threads']} threads, {shown(document['date'])[:10]}"
    figure.text(0.02, 1 - 0.16 / top, title, size=12, va="top", weight="bold")
    rows = sum(len(problem["rows"]) for problem in problems)
    told = [shown(problems[0]["problem"])] if len(problems) == 1 else []
    told += [f"minicnn {shown(document['minicnn'])}", f"{'cold' if document['cold'] else 'warm'} caches",
             f"roof measured in the same run, {roof['threads']} threads"]
    told += [f"{rows - len(found)} of {rows} rows have no speed to show"] if rows > len(found) else []
    figure.text(0.02, 1 - 0.46 / top, "\n".join(textwrap.wrap(" · ".join(told), 125)), va="top", color=MUTED, linespacing=1.4)


def _legend(figure, axes, contenders, height):
    """The contenders in a row below the axes; their names are put in afterwards, since a legend hides names like _x."""
    handles = [axes.plot([], [], linestyle="", markersize=6, **_style(k))[0] for k in range(len(contenders))]
    if not handles:
        return
    longest = max(map(len, contenders))
    legend = figure.legend(handles, ["."] * len(handles), loc="lower left", bbox_to_anchor=(0.075, height), frameon=False,
                           ncols=max(1, min(len(handles), 110 // (longest + 6))), handletextpad=0.2, columnspacing=1.6)
    for text, name in zip(legend.get_texts(), contenders, strict=True):
        text.set_text(shown(name)[:60])
