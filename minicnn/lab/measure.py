"""One problem: every contender judged, then the right ones timed in rounds; the answer is a part of the document (report.py).

A kernel that is wrong gets no time. Where one call would take longer than LONGEST seconds there is none either, and the row
says so.
"""
from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from .. import machine
from ..errors import UsageError
from ..kernels import choice, jit
from . import arguments, blas, clock, correct, costs, roof, verdict
from .contenders import Contender
from .problems import Problem

LONGEST = 30.0              # seconds of a call
COPIES = 4                  # of all arrays: what judging needs, about


@dataclass(frozen=True)
class Settings:
    """threads of every row that can use them; seconds of measuring for each row; cold: caches emptied before each call;
    seed of the data."""

    threads: int
    seconds: float = 1.0
    cold: bool = False
    xray: bool = False
    seed: int = 0


def measure(problem: Problem, contenders: list[Contender], settings: Settings) -> dict:
    """The document's entry of one problem. What a user's function raises comes through."""
    flops, moved = costs.flops(problem), costs.moved(problem)
    check_memory(problem)
    with blas.one_thread():
        judged = [_judge(problem, one, settings) for one in contenders]
        timed = [(one, row) for one, (row, seconds) in zip(contenders, judged, strict=True)
                 if row["verdict"] in ("ok", "oracle") and not _too_slow(row, seconds)]
        times = _time(problem, timed, settings)
    limits = roof.measure(settings.threads)
    yardstick = next((time for (one, _), time in zip(timed, times, strict=True) if one.name == "cpu"), None)
    for (one, row), time_ in zip(timed, times, strict=True):
        _fill(row, time_, flops, moved, limits)
        if yardstick is not None:
            found = verdict.compare(*clock.paired(yardstick, time_))
            row["versus_cpu"] = 1.0 if one.name == "cpu" else 1 / found.ratio
            row["comparison"] = None if one.name == "cpu" else found.word
    return {"problem": problem.text, "label": problem.label, "kernel": problem.kernel, "flops": flops, "bytes": moved,
            "intensity": flops / moved, "rows": [row for row, _ in judged]}


def check_memory(problem: Problem) -> None:
    """Raises UsageError for a problem that does not fit."""
    free, moved = machine.memory().get("available"), costs.moved(problem)
    if free is not None and COPIES * moved > free:
        raise UsageError(f"problem '{problem.text}' needs about {COPIES * moved / 1e9:.1f} GB, {free / 1e9:.1f} GB are free",
                         hint="Take a smaller mb.")


def _judge(problem: Problem, one: Contender, settings: Settings) -> tuple[dict, float]:
    """(a row without times, the seconds that a call will take, about)."""
    row = {"who": one.name, "device": "-" if one.why else "cpu", "threads": None, "verdict": "absent", "why": one.why,
           "max_error": None} | dict.fromkeys(("median", "p20", "p80"))
    row |= {"samples": [], "rounds": []} | dict.fromkeys(("gflops", "gbytes", "of_roof", "versus_cpu", "comparison", "compile"))
    row["xray"] = None
    if one.why:
        return row, 0.0
    if one.name == "reference":
        return row | {"verdict": "oracle", "max_error": 0.0}, 0.0
    compiled, start = jit.compile_seconds(), time.perf_counter()
    found = correct.judge(problem.kernel, one.function(problem.kernel), problem, one.as_timed(problem, settings.threads),
                          settings.seed)
    spent = time.perf_counter() - start
    row |= {"verdict": "ok" if found.ok else "wrong", "why": found.why, "max_error": found.max_error if found.ok else None}
    if one.name == "cpu":
        row["compile"] = jit.compile_seconds() - compiled or None
    elif one.compiles and found.ok:
        row["compile"] = found.first - found.seconds if found.first > 10 * found.seconds and spent > 0.05 else None
    if settings.xray and not one.name.startswith("torch"):
        from . import xray

        kernel = one.function(problem.kernel)
        if isinstance(kernel, choice.Choice):
            kernel = kernel.chosen(arguments.build(problem.with_batch(1)))
        row["xray"] = xray.inspect(kernel)
    return row, found.seconds * (problem.batch or 1) / (found.images or 1)


def _too_slow(row: dict, seconds: float) -> bool:
    if seconds <= LONGEST:
        return False
    row["why"] = f"not timed: one call takes about {seconds:.0f} s; take a smaller problem"
    return True


def _time(problem: Problem, timed: list, settings: Settings) -> list[clock.Times]:
    """The times of the contenders of `timed`, which hold (contender, row)."""
    if not timed:
        return []
    args, calls = arguments.build(problem, seed=settings.seed), []
    for one, row in timed:
        call, row["threads"], remark = one.bind(problem, args, settings.threads)
        row["why"] = "; ".join(text for text in (row["why"], remark) if text) or None
        calls.append(call)
    return clock.run(calls, settings.seconds, clock.flusher(settings.threads) if settings.cold else None)


def _fill(row: dict, times: clock.Times, flops: int, moved: int, limits: tuple[float, float]) -> None:
    median = float(np.median(times.samples))
    row |= {"median": median, "p20": float(np.quantile(times.samples, 0.2)), "p80": float(np.quantile(times.samples, 0.8)),
            "samples": times.samples, "rounds": times.rounds, "gflops": flops / median / 1e9, "gbytes": moved / median / 1e9,
            "of_roof": costs.of_roof(median, flops, moved, *limits)}
