"""Trains a net for a few steps and says how much memory that took, in a process of its own.

    python benchmarks/memory_contenders.py CONTENDER NET THREADS STEPS

Prints a line of JSON: the bytes held when all was imported, the most ever held, and the losses. minicnn imports Numba and its
kernels when they are first needed; here they are imported before, so that neither side counts its code.

VmHWM is the peak of this address space, which begins with exec; `getrusage` would count the peak of whoever forked it.
"""
from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def held(key: str) -> int:
    """Bytes: "VmRSS" now, "VmHWM" the most so far."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return int(status[key].split()[0]) * 1024


def main(contender: str, net: str, threads: str, steps: str) -> None:
    import train_contenders

    from minicnn import kernels
    library, _, memory_format = contender.partition("-")
    if library == "torch":
        for name in ("torch", "torch_twin"):
            importlib.import_module(name)
        runner, options = train_contenders.Torch, (memory_format,)
    else:
        for kernel in kernels.KERNELS:
            kernels.function("cpu", kernel)
        runner, options = train_contenders.Minicnn, ()
    imported = held("VmRSS")
    losses = train_contenders.trainer(runner(net, int(threads), *options), "losses", int(steps))
    print(json.dumps({"imported": imported, "peak": held("VmHWM"), "losses": losses}))


if __name__ == "__main__":
    main(*sys.argv[1:])
