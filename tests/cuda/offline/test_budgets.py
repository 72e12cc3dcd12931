"""The machine code of every kernel stays within its budget: registers, no stack, no spills, no float64, wide accesses.

budgets.json says for each kernel how many registers it may take on each architecture, and which 128-bit accesses it must
have. After a change that is worth it: python tests/cuda/offline/write_budgets.py
"""
import json
from pathlib import Path

import pytest
from cuda_cases import variants
from machine_code import ARCHITECTURES, measured
from numba import cuda, float32, int32

from minicnn.kernels.cuda_support.intrinsics import ld1, st1
from minicnn.kernels.cuda_support.spec import KernelSpec

BUDGETS = json.loads((Path(__file__).parent / "budgets.json").read_text("utf-8"))
VARIANTS = variants()


def problems(spec, architecture, budget):
    """What is wrong with the machine code of a kernel, in words."""
    found = measured(spec, architecture)
    wrong = [f"{found[what]} {text}" for what, text in (
        ("stack", "bytes of stack"), ("spills", "bytes spilled"), ("local", "accesses to local memory"),
        ("float64", "instructions on float64")) if found[what]]
    if found["registers"] > budget["registers"][architecture]:
        wrong.append(f"{found['registers']} registers, budget {budget['registers'][architecture]}")
    missing = set(budget["wide"]) - set(found["wide"])
    return wrong + [f"no {', '.join(sorted(missing))}"] * bool(missing)


def test_every_kernel_has_a_budget_and_every_budget_a_kernel():
    assert set(VARIANTS) == set(BUDGETS)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_budget(name, architecture):
    assert not problems(VARIANTS[name], architecture, BUDGETS[name])


def leaks_float64(x, y):
    i = int32(cuda.threadIdx.x)
    st1(y, i, float32(ld1(x, i) * i / 3))           # float32 times int32 is float64 to Numba


def keeps_float32(x, y):
    i = int32(cuda.threadIdx.x)
    st1(y, i, ld1(x, i) * float32(i) / float32(3))


def uses_the_stack(x, y):
    a = cuda.local.array(64, float32)
    i = int32(cuda.threadIdx.x)
    for k in range(64):
        a[k] = ld1(x, i + k)
    st1(y, i, a[int32(ld1(x, i)) & 63])


def many_registers(x, y):
    a = cuda.local.array(96, float32)
    i = int32(cuda.threadIdx.x)
    for k in range(96):
        a[k] = ld1(x, i + k)
    for k in range(96):
        st1(y, i + k, a[k] * a[95 - k])


@pytest.mark.parametrize("function, block, bounds, expected", [
    (keeps_float32, 64, (), []),
    (leaks_float64, 64, (), ["instructions on float64", "no LDG.E.128"]),
    (uses_the_stack, 64, (), ["256 bytes of stack", "accesses to local memory"]),
    (many_registers, 256, (256, 6), ["bytes spilled", "local memory"]),
    (many_registers, 256, (256, 1), ["registers, budget 40"]),
])
def test_planted_faults_are_found(function, block, bounds, expected):
    spec = KernelSpec(function, "void(float32[::1], float32[::1])", block, bounds)
    budget = {"registers": dict.fromkeys(ARCHITECTURES, 40), "wide": ["LDG.E.128"] if function is leaks_float64 else []}
    wrong = problems(spec, "sm_90a", budget)
    assert all(any(text in problem for problem in wrong) for text in expected) and (expected or not wrong), wrong
