"""One HTML page of a benchmark: conditions, the roofline picture, every row with its verdict, X-rays. One file, offline.

Everything that comes from the document is escaped; there is no script and nothing is loaded, which the page's own
content-security policy enforces. It follows the reader's choice of light or dark, and tables scroll on a small screen.
"""
from html import escape
from string import Template

from ..errors import EnvironmentProblem
from . import roofline, xray
from .roofline import shown

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --ink: #1d2024; --muted: #5d6168; --line: #d9dbdf; --back: #fff; --soft: #f4f5f7; --good: #00674b; --bad: #a63c00 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e7e9; --muted: #a2a6ad; --line: #3a3e45; --back: #16181c; --soft: #202329; --good: #4cc9a0; --bad: #ff9a5c }
}
body { margin: 0 auto; padding: 1rem; max-width: 74rem; color: var(--ink); background: var(--back);
       font: 15px/1.45 system-ui, sans-serif }
h1 { font-size: 1.4rem; margin: .5rem 0 }
h2 { font-size: 1.05rem; margin: 2rem 0 .3rem; overflow-wrap: anywhere }
p { margin: .3rem 0; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .8rem 0 }
dt, .muted { color: var(--muted) }
dd { margin: 0; overflow-wrap: anywhere }
.wide { overflow-x: auto }
.picture svg { display: block; min-width: 36rem; width: 100%; height: auto }
table { border-collapse: collapse; width: 100%; font-size: .93rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .42rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { color: var(--muted); font-weight: 600; font-size: .85rem }
th:first-child, td:first-child, .word { text-align: left }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--back) }
td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 9rem; max-width: 14rem }
@media (max-width: 40rem) {
  table { font-size: .85rem }
  td:first-child { min-width: 6rem; max-width: 8rem }
  th, td { padding: .2rem .4rem }
}
td.why { text-align: left; white-space: normal; min-width: 14rem }
.good { color: var(--good) }
.bad { color: var(--bad) }
.wrong { color: var(--bad); font-weight: 600 }
details { margin: .5rem 0; padding: .4rem .7rem; background: var(--soft); border-radius: .3rem }
pre { margin: .4rem 0; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem }
</style>
</head>
<body>
<h1>$title</h1>
<dl>
$conditions
</dl>
$picture
$problems
<p class="muted">Times are medians of interleaved rounds; the range is p20 to p80. A kernel that is wrong gets no time. “Of the
roof” compares with what this machine did in the same run at the same arithmetic intensity. Compilation is timed apart.</p>
</body>
</html>
""")
_COLUMNS = ("who", "verdict", "largest error", "median", "p20 to p80", "GFLOP/s", "GB/s", "of the roof", "vs cpu", "", "runs on",
            "compile")
_WORDS = {"who", "verdict", "", "runs on"}
_COMPARED = {"SAME": ("same", ""), "FASTER": ("faster, clearly", "good"), "SLOWER": ("slower, clearly", "bad"),
             "UNCLEAR": ("unclear", "muted")}
_VERDICTS = {"ok": "good", "wrong": "wrong"}


def html(document: dict) -> str:
    """The page as text; without matplotlib it says what is missing in place of the picture."""
    problems = [_problem(k, problem) for k, problem in enumerate(document["problems"], 1)]
    return _PAGE.substitute(title=_text("minicnn bench, " + document["date"][:10]), conditions=_conditions(document),
                            picture=_picture(document), problems="\n".join(problems))


def _text(value) -> str:
    return escape(shown(value))


def _conditions(document):
    machine, roof = document["machine"], document["roof"]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    facts = {"machine": f"{machine['cpu']}, {machine['cores']} cores, {' '.join(machine['vector_units'])}",
             "threads": f"{document['threads']} for every row, unless the row says otherwise",
             "caches": "cold: emptied before every call" if document["cold"] else "warm",
             "roof": f"{roof['gflops']:.4g} GFLOP/s, {roof['gbytes']:.4g} GB/s, measured in the same run, {_threads(roof)}",
             "time": f"about {document['seconds']:g} s for each row, {document['date']}",
             "versions": versions}
    return "\n".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts.items())


def _picture(document):
    try:
        picture = roofline.svg(document)
    except EnvironmentProblem as problem:
        return f"<p class=\"muted\">No roofline: {_text(problem)}</p>"
    for colour, name in ((roofline.INK, "ink"), (roofline.MUTED, "muted"), (roofline.GRID, "line")):
        picture = picture.replace(f": {colour}", f": var(--{name})")
    return f'<div class="wide picture">{picture}</div>'


def _problem(number, problem):
    """Heading, table and X-rays of one problem."""
    name = f"{problem['label']}: {problem['problem']}" if problem["label"] else problem["problem"]
    size = (f"{problem['kernel']}, {problem['flops'] / 1e9:.3g} GFLOP, {problem['bytes'] / 1e6:.3g} MB, "
            f"{problem['intensity']:.3g} operations per byte")
    head = "".join(f'<th scope="col"{_class("word" if name in _WORDS else "")}>{_text(name)}</th>' for name in _COLUMNS)
    rows = "\n".join(_row(row) for row in problem["rows"])
    looks = "\n".join(_xray(row) for row in problem["rows"] if row["xray"])
    remarks = "".join(f'<p class="muted">{_text(row["who"])}: {_text(row["why"])}</p>' for row in problem["rows"]
                      if row["why"] and row["median"] is not None)
    return (f'<h2>{number}. {_text(name)}</h2>\n<p class="muted">{_text(size)}</p>\n'
            f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>\n'
            f"{remarks}{looks}")


def _row(row):
    error = "" if row["max_error"] is None else f"{row['max_error']:.1e}" if row["max_error"] else "0"
    cells = [(row["who"], "word"), (row["verdict"], f"word {_VERDICTS.get(row['verdict'], '')}".strip()), (error, "")]
    if row["median"] is None:
        rest = f'<td class="why" colspan="{len(_COLUMNS) - len(cells)}">{_text(row["why"] or "")}</td>'
    else:
        rest = ""
        ratio = "" if row["versus_cpu"] is None else f"{row['versus_cpu']:.2f}x"
        compared, kind = _COMPARED.get(row["comparison"], ("", ""))
        cells += [(_times(row["median"]), ""), (_times(row["p20"], row["p80"]), ""), (f"{row['gflops']:.3g}", ""),
                  (f"{row['gbytes']:.3g}", ""), (f"{row['of_roof']:.0%}", ""), (ratio, ""), (compared, f"word {kind}".strip()),
                  (f"{row['device']}, {_threads(row)}", "word"), (_times(row["compile"]) if row["compile"] else "", "")]
    return "<tr>" + "".join(f"<td{_class(kind)}>{_text(value)}</td>" for value, kind in cells) + rest + "</tr>"


def _xray(row):
    """The lines of an X-ray; a click opens the loop itself."""
    first, *lines = xray.text(row["xray"])
    told = "".join(f"<p>{_text(line.strip())}</p>" for line in lines)
    loop = "\n".join(_text(line) for line in row["xray"].get("assembly", []))
    return (f"<details><summary>{_text(row['who'])}: {_text(first)}</summary>{told}"
            + (f"<pre>{loop}</pre>" if loop else "") + "</details>")


def _class(name):
    return f' class="{name}"' if name else ""


def _threads(counted):
    return f"{counted['threads']} thread{'' if counted['threads'] == 1 else 's'}"


def _times(*values):
    """Times with three digits, in the unit that fits the last."""
    units = ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)
    unit, size = next((pair for pair in units if values[-1] >= pair[1]), units[-1])
    return "–".join(f"{value / size:.3g}" for value in values) + f" {unit}"
