"""What this machine and this installation are: for run.json and `minicnn doctor`."""

import os
import platform
import sys
from importlib import metadata

from . import __version__

PACKAGES = ("numpy", "numba", "llvmlite", "click", "rich", "pillow", "safetensors")
VECTOR_UNITS = ("sse2", "sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vnni", "neon", "sve")


def versions() -> dict[str, str]:
    """Version of minicnn, Python and every package it stands on; "missing" where one is not installed."""
    found = {"minicnn": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def usable_cores() -> int:
    """Cores this process may run on (taskset and containers included)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu() -> dict:
    """{"name", "target", "vector_units"}: the marketing name, LLVM's name, the units that matter to the kernels."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return {
        "name": _cpu_model(),
        "target": llvm.get_host_cpu_name(),
        "vector_units": [unit for unit in VECTOR_UNITS if features.get(unit)],
    }


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def memory() -> dict[str, int]:
    """{"total", "available"} in bytes; empty where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return {name: int(lines[key].split()[0]) * 1024 for name, key in (("total", "MemTotal"), ("available", "MemAvailable"))}
    except (OSError, KeyError, ValueError):
        return {}


def peak_memory() -> int:
    """The most bytes this process ever held in memory; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def describe() -> dict:
    """The part of run.json that says where a run was made."""
    return {"system": platform.platform(), "cpu": cpu(), "cores": usable_cores(), "memory": memory()}
