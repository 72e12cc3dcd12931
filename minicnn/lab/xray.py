"""The X-ray of a kernel: what its hot loop looks like in the machine code that Numba emitted, and why if it is slow.

`inspect` answers a dictionary of plain values; `text` puts it in a few lines. The hot loop is a guess (loop_facts.hot):
the loop with the most numbers in work at once, where each loop around it counts as 16 passes.
"""
import os
import platform
from collections import Counter

SHOWN = 60          # instructions of the hot loop that are kept
MACHINES = ("x86_64", "amd64")


def inspect(function) -> dict:
    """The X-ray of a compiled function, a kernel of the cpu column, or a plain function that names compiled ones.

    {"machine_code": False, "why": sentence}, or True with "function", "where" (file:line of the user's source, or
    near it, or None), "hints" (sentences), "assembly" (the loop, at most 60 instructions) and the numbers of loop_facts.facts.
    """
    if platform.machine().lower() not in MACHINES:
        return _none(f"the X-ray reads x86-64 machine code; this machine is {platform.machine()}")
    from .assembly import loops
    from .hints import hints
    from .loop_facts import facts, heat, hot
    from .machine_code import sources

    found = [(loop, source) for source in sources(function) if (loop := hot(loops(source.assembly)))]
    if not found:
        return _none(_why_none(function))
    loop, source = max(found, key=lambda pair: heat(pair[0]))
    numbers = facts(loop)
    listing = [i.text for i in loop.code]
    if len(listing) > SHOWN:
        listing = listing[: SHOWN - 1] + [f"... {len(listing) - SHOWN + 1} more"]
    return {"machine_code": True, "why": None, "function": source.function.__name__, "where": _where(source, numbers),
            "widest": _widest(), **numbers, "hints": hints(loop, numbers, source), "assembly": listing}


def text(report: dict, assembly: bool = False) -> list[str]:
    """The X-ray for a screen; with its loop where `assembly` is asked for."""
    if not report["machine_code"]:
        return [f"x-ray: {report['why']}"]
    kind = f"{report['register']}, {report['lanes']} {report['element']} at a time"
    if report["register"] == "scalar":
        kind = f"scalar, one {report['element']} at a time"
    room = f" (this machine has {report['widest']})" if report["register"] != report["widest"] else ""
    fused = f"{report['fma']} FMA" if report["fma"] else "no FMA"
    spills = report["spill_stores"] + report["spill_loads"]
    per = f" ({report['loads_per_fma']:.2g} loads per FMA)" if report["fma"] else ""
    traffic = f"{_count(report['loads'], 'load')}, {_count(report['stores'], 'store')}{per}, " + (
        f"{report['spill_stores']} stored to and {report['spill_loads']} read from the stack" if spills else "no spills")
    place = report["function"] + (f", {report['where']}" if report["where"] else "")
    lines = [f"x-ray: hot loop of {place}: {kind}{room}, {fused}",
             f"  {_count(report['instructions'], 'instruction')}, {report['vector_share']:.0%} vector arithmetic; {traffic}"]
    lines += [f"  hint: {hint}" for hint in report["hints"]]
    return lines + ([f"    {line}" for line in report["assembly"]] if assembly else [])


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _none(why):
    return {"machine_code": False, "why": why}


def _why_none(function):
    """Why there is nothing to look at, as a sentence."""
    from numba import config
    from numba.extending import is_jitted

    from .machine_code import Kernel, sources

    name = getattr(function, "__name__", repr(function))
    if config.DISABLE_JIT:
        return "no machine code: NUMBA_DISABLE_JIT is set"
    if sources(function):
        return f"{name} has no loop with vector or floating point instructions"
    if is_jitted(function) or isinstance(function, Kernel):
        return f"no machine code yet: {name} is compiled when it is first called"
    return f"no machine code: {name} is not compiled by Numba, and names no function that is"


def _widest():
    """The widest vector register of this machine that Numba may use."""
    from llvmlite import binding
    from numba import config

    features = config.CPU_FEATURES if config.CPU_FEATURES is not None else binding.get_host_cpu_features().flatten()
    names = set(features.split(","))
    return "zmm" if "+avx512f" in names else "ymm" if "+avx" in names else "xmm"


def _where(source, numbers):
    """file.py:12 of the hot loop, from a compilation with debug information; "near" where that came out otherwise."""
    from .assembly import loops
    from .loop_facts import facts, hot, math_call, widest
    from .machine_code import with_lines

    if not source.own:
        return None
    code = source.function.__code__
    file = os.path.basename(code.co_filename)
    loop = hot(loops(with_lines(source)))
    code_of_loop = loop.code if loop else []
    lines = Counter(i.line[1] for i in code_of_loop if i.line and i.line[0] == file and (widest(i) or math_call(i)))
    if not lines:
        return f"in {file}:{code.co_firstlineno}"
    same = all(facts(loop)[key] == numbers[key] for key in ("register", "fma", "arithmetic"))
    return f"{'' if same else 'near '}{file}:{lines.most_common(1)[0][0]}"
