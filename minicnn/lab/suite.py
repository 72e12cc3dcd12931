"""The problems that `bench` measures when it is not told any: a suite for all kernels, and one problem for each kernel."""
from __future__ import annotations

from .operations import kernels_of
from .problems import Problem, keys, parse

ALL = ("fwd", "bwd_d", "bwd_w")
SUITE = (           # operation, problem, directions
    ("conv", 'mb32ic32ih32oc32kh3ph1n"32 channels"', ALL),
    ("conv", 'mb16ic64ih32oc64kh3ph1n"64 channels"', ALL),
    ("conv", 'mb128ic1ih28oc6kh5ph2n"LeNet-5, first"', ("fwd", "bwd_w")),
    ("conv", 'mb16ic64ih32oc128kh1n"1x1"', ("fwd",)),
    ("dense", 'mb128ic1024oc256', ALL),
    ("maxpool", 'mb64ic64ih32kh2sh2', ("fwd", "bwd_d")),
    ("relu", 'mb64ic64ih32', ("fwd",)),
    ("batchnorm", 'mb64ic64ih32', ("fwd", "bwd_d", "bwd_w")),
    ("sgd", 'ic512oc512kh3', ("fwd",)),
    ("adam", 'ic512oc512kh3', ("fwd",)),
)


def suite(directions: list[str] | None = None) -> list[Problem]:
    """The suite, in some directions only if told so."""
    found = []
    for operation, text, own in SUITE:
        wanted = [one for one in own if directions is None or one in directions]
        found += [parse(text, kernel) for kernel in (kernels_of(operation, wanted) if wanted else [])]
    return found


def usual(kernel: str) -> Problem:
    """The problem of a kernel for which none was named."""
    known = keys(kernel).split()
    if kernel.startswith("dense_"):
        text = "mb128ic1024oc256"
    elif kernel.endswith("_update"):
        text = "ic512oc512kh3"
    elif "oc" in known:
        text = "mb32ic32ih32oc32kh3ph1"
    else:
        text = "mb64ic64ih32kh2sh2" if "sh" in known else "mb64ic64ih32" if "ih" in known else "mb4096ic64"
    return parse(text, kernel)
