"""Who takes part: the columns of the table, PyTorch, and a function of the user's.

A contender has a name, a function of the column's signature that is judged, and `bind`, which prepares the call that is timed
and says how many threads it will use.
"""
from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import UsageError
from ..kernels import COLUMNS, SPECS, function
from . import clock, slices, torch_peer
from .problems import Problem

KNOWN = ("reference", "cpu", "cuda", "torch")
SMALL = 1e-4            # seconds of a call on one thread that is not worth waking another for


@dataclass
class Contender:
    """name: as in the table of results.  why: what keeps it from taking part, None if nothing does."""

    name: str
    why: str | None = None
    compiles: bool = False

    def function(self, kernel: str) -> Callable:
        """Of the column's signature, on one thread."""
        return function(self.name, kernel)

    def bind(self, problem: Problem, args: list, threads: int) -> tuple[Callable, int, str | None]:
        """(the call that is timed, its threads, a remark)."""
        threads = 1 if self.name == "reference" else threads
        return *_sliced(problem.kernel, self.function(problem.kernel), args, threads), None

    def as_timed(self, problem: Problem, threads: int) -> Callable:
        """What is judged on the whole problem: the way in which it is timed."""
        spec, kernel = SPECS[problem.kernel], self.function(problem.kernel)
        return lambda *args: slices.bind(spec, kernel, list(args), 1 if self.name == "reference" else threads)[0]()


class Torch(Contender):
    """PyTorch's operation."""

    def __init__(self, problem: Problem):
        version = torch_peer.version()
        super().__init__("torch" if version is None else f"torch {version.rpartition('.')[0]}", torch_peer.absent(problem))

    def function(self, kernel):
        return torch_peer.function(kernel)

    def bind(self, problem, args, threads):
        torch_peer.set_threads(threads)
        calls = {layout: torch_peer.operation(problem.kernel, args, layout)[0] for layout in torch_peer.LAYOUTS}
        if not SPECS[problem.kernel].arrays[0].axes.startswith("NHW") and "*" not in problem.shape:
            return calls["nhwc"], threads, None
        seconds = {layout: statistics.median(clock.call_seconds(call) for _ in range(3)) for layout, call in calls.items()}
        best = min(seconds, key=seconds.get)
        return calls[best], threads, best

    def as_timed(self, problem, threads):
        return self.function(problem.kernel)


class Own(Contender):
    """The user's function, for one kernel."""

    def __init__(self, name: str, own: Callable):
        super().__init__(name, compiles=hasattr(own, "py_func"))
        self.own = own

    def function(self, kernel):
        return self.own

    def bind(self, problem, args, threads):
        if _option(self.own, "parallel"):
            import numba

            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
            return (lambda: self.own(*args)), threads, "threads of its own"
        call, used = _sliced(problem.kernel, self.own, args, threads)
        waits = used > 1 and hasattr(self.own, "targetoptions") and not _option(self.own, "nogil")
        return call, used, "holds the GIL: @njit(nogil=True) lets its threads run side by side" if waits else None

    def as_timed(self, problem, threads):
        return self.own if _option(self.own, "parallel") else super().as_timed(problem, threads)


def check_names(names) -> None:
    """Raises UsageError for a name that no contender has."""
    for name in names:
        if name not in KNOWN:
            raise UsageError(f"no contender '{name}' to measure against; known: {','.join(KNOWN)}")


def ordered(names, problem: Problem, own: list[Own]) -> list[Contender]:
    """The contenders named, and the user's, for one problem; PyTorch last. Raises UsageError."""
    check_names(names)
    found: list[Contender] = []
    for name in dict.fromkeys(names):
        if name == "torch":
            found.append(Torch(problem))
        else:
            missing = None if name in COLUMNS else f"this minicnn has no {name} kernels"
            found.append(Contender(name, missing))
    found += own
    return sorted(found, key=lambda one: isinstance(one, Torch))


def _sliced(kernel: str, one: Callable, args: list, threads: int) -> tuple[Callable, int]:
    call, _ = slices.bind(SPECS[kernel], one, args, 1)
    if threads == 1 or clock.call_seconds(call) < SMALL:
        return call, 1
    return slices.bind(SPECS[kernel], one, args, threads)


def _option(own: Callable, name: str) -> bool:
    return bool(getattr(own, "targetoptions", {}).get(name))
