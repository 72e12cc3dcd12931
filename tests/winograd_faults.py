"""A program for NUMBA_DISABLE_JIT=1: Winograd's kernels in Python, as they are, and with each constant changed a little.

Prints one line of JSON: a hash of each kernel's bits, how many faults were planted, and those that no bound noticed.
"""
import hashlib
import json
import sys

import numpy as np
from kernel_bounds import winograd
from kernel_cases import build, run, windows
from mode_grid import poison_empty_arrays

from minicnn import kernels

SHAPE = windows(5, 4, 3, 3, (1, 1), 1, 1, 1, 1, N=1, C=2, K=3)
CHANGE = 1.0005             # a number off by so much must show
TABLES = {"conv2d_forward": ("PIXEL_FACTORS", "FILTER3_ROWS"), "conv2d_backward_weight": ("FILTER4_ROWS",)}
FUNCTIONS = {"conv2d_forward": (("pixels", 6), ("filter3", 6), ("outputs4", 4)),
             "conv2d_backward_weight": (("filter4", 6), ("outputs3", 3))}


def outputs(name):
    args = build(name, SHAPE, 4, integers=False)
    kernels.function("cpu", name).other(*args)
    return args, {a.name: v for a, v in zip(kernels.SPECS[name].arrays, args, strict=False) if a.output}


def bits(name):
    """A hash of what the kernel gives."""
    return hashlib.sha256(b"".join(v.tobytes() for v in outputs(name)[1].values())).hexdigest()


def right(name):
    args, result = outputs(name)
    exact = run("reference", name, args)
    values = dict(zip(kernels.SPECS[name].parameters, (v.astype(np.float64) if isinstance(v, np.ndarray) else v for v in args),
                      strict=True))
    return all((np.abs(result[k] - exact[k]) <= c * 2.0**-23 * terms).all() for k, (c, terms) in winograd(name, values).items())


def faults(name):
    """Plants one fault after the other; yields what it is, while it is there."""
    from minicnn.kernels import winograd_cpu, winograd_transforms, winograd_weight_cpu
    for table in TABLES[name]:
        values = getattr(winograd_transforms, table)
        for at in np.argwhere(values):
            value = values[tuple(at)]
            values[tuple(at)] = value * np.float32(CHANGE)
            yield f"{table}{at.tolist()}"
            values[tuple(at)] = value
    module = winograd_weight_cpu if name == "conv2d_backward_weight" else winograd_cpu
    for word, count in FUNCTIONS[name]:
        true = getattr(module, word)
        for i in range(count):
            def wrong(*given, true=true, i=i):
                return tuple(v * np.float32(CHANGE) if j == i else v for j, v in enumerate(true(*given)))
            setattr(module, word, wrong)
            yield f"{word}[{i}]"
            setattr(module, word, true)


def main():
    poison_empty_arrays()
    names = ["conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight"]
    found = {"bits": {name: bits(name) for name in names}, "planted": 0, "survived": []}
    assert all(map(right, names))
    for name in TABLES:
        for fault in faults(name):
            found["planted"] += 1
            found["survived"] += [fault] if right(name) else []
        assert right(name)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
