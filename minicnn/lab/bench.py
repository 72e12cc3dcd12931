"""`mc.bench`: judge a kernel, then time it beside its peers.

    print(mc.bench("conv2d_forward", mine, shapes="mb32ic16ih28oc32kh3ph1"))
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import machine
from . import contenders, suite
from .measure import Settings, measure
from .operations import kernels_of
from .problems import parse
from .report import Report

AGAINST = ("reference", "cpu", "torch")


def bench(kernel: str, function: Callable | None = None, shapes: str | Sequence[str] | None = None,
          against: Sequence[str] = AGAINST, threads: int | None = None, seconds: float = 1.0, cold: bool = False) -> Report:
    """Measure the columns of one kernel, and `function`, which has the column's signature, among them.

    kernel: of the table, or an operation (`conv`) for all of its directions.  shapes: problem strings.  against: of
    reference, cpu, cuda and torch.  seconds: of measuring, for each row.  cold: empty the caches before every call.
    A function that is wrong gets no time; see `Report.wrong`. What it raises comes through.
    """
    names = kernels_of(kernel)
    texts = [shapes] if isinstance(shapes, str) else shapes
    problems = [one for name in names for one in ([parse(text, name) for text in texts] if texts else [suite.usual(name)])]
    report = Report(Settings(threads or machine.usable_cores(), seconds, cold))
    own = [] if function is None else [contenders.Own(getattr(function, "__name__", "mine"), function)]
    for problem in problems:
        report.problems.append(measure(problem, contenders.ordered(against, problem, own), report.settings))
    return report
