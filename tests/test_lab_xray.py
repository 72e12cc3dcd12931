"""The X-ray of functions whose machine code must come out in a known way, on machines with AVX2 and with AVX-512 alike."""
import math
import platform

import numpy as np
import pytest
from llvmlite import binding
from numba import config, njit

from minicnn import kernels
from minicnn.kernels import simd
from minicnn.kernels.jit import OPTIONS
from minicnn.lab import contenders, measure, xray
from minicnn.lab.problems import parse

FEATURES = binding.get_host_cpu_features()
pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or not FEATURES.get("avx2") or not FEATURES.get("fma") or bool(config.DISABLE_JIT),
    reason="needs AVX2, FMA and the compiler")
ONES = np.ones(100, np.float32)


def dot(x, y):
    total = np.float32(0)
    for i in range(x.shape[0]):
        total += x[i] * y[i]
    return total


def axpy(x, y):
    for i in range(x.shape[0]):
        y[i] += np.float32(0.5) * x[i]


def leak(x, y):
    for i in range(x.shape[0]):
        y[i] += 0.5 * x[i]


def exponential(x, y):
    for i in range(x.shape[0]):
        y[i] = math.exp(x[i])


def inspected(function, *args, **options):
    compiled = njit(**options)(function)
    compiled(*args)
    return xray.inspect(compiled)


def line(function, distance):
    return f"test_lab_xray.py:{function.__code__.co_firstlineno + distance}"


def test_a_sum_in_order_is_scalar_and_says_why():
    report = inspected(dot, ONES, ONES)
    assert report["register"] == "scalar" and report["lanes"] == 1 and report["fma"] == 0 and report["vector_share"] == 0
    assert len(report["hints"]) == 1 and "strict order" in report["hints"][0]
    assert report["where"] == line(dot, 3)


def test_the_same_sum_in_any_order_is_a_vector():
    report = inspected(dot, ONES, ONES, fastmath={"contract", "reassoc", "nsz"})
    assert report["register"] in ("ymm", "zmm") and report["fma"] and report["hints"] == []


def test_axpy_is_a_vector_with_and_without_fma():
    plain = inspected(axpy, ONES, ONES.copy())
    fused = inspected(axpy, ONES, ONES.copy(), fastmath={"contract"})
    for report in (plain, fused):
        assert report["register"] in ("ymm", "zmm") and report["lanes"] == (8 if report["register"] == "ymm" else 16)
        assert report["element"] == "float32" and report["hints"] == [] and report["spill_loads"] == report["spill_stores"] == 0
        assert report["loads"] == 2 * report["stores"] > 0
    assert plain["fma"] == 0 and fused["fma"] == fused["stores"] and fused["loads_per_fma"] == 2
    assert fused["where"] == line(axpy, 2)


def test_float64_that_slips_in_is_seen():
    report = inspected(leak, ONES, ONES.copy())
    assert report["element"] == "float64" and "float64" in report["hints"][0] and "np.float32" in report["hints"][0]
    assert not any("float64" in hint for hint in inspected(leak, np.ones(100), np.ones(100))["hints"])


def test_arrays_of_any_stride_are_named():
    report = inspected(axpy, ONES[::2], ONES.copy()[::2])
    assert report["register"] == "scalar" and "x, y may have any strides" in report["hints"][0]


def test_a_call_in_the_loop_is_named():
    assert "expf is called for one number at a time" in inspected(exponential, ONES, ONES.copy())["hints"][0]


def tile_kernel(rows, vectors):
    """A matrix product of one register tile, x (C, rows), w (C, 16 vectors), y (rows, 16 vectors)."""
    @njit(**OPTIONS)
    def product(x, w, y):
        total, steps = simd.tile_zeros(rows, vectors), simd.row_steps(1)
        for c in range(x.shape[0]):
            total = simd.tile_fma(total, x, c * rows, steps, w, c * 16 * vectors, 16)
        simd.tile_store(total, y, 0, 16 * vectors, 16)
    product(np.ones((9, rows), np.float32), np.ones((9, 16 * vectors), np.float32), np.ones((rows, 16 * vectors), np.float32))
    return xray.inspect(product)


def test_tiles_within_and_beyond_the_registers():
    small = tile_kernel(4, 1)                           # 8 accumulators of ymm, or 4 of zmm
    assert small["spill_loads"] == small["spill_stores"] == 0 and small["hints"] == []
    per_step = 4 * 16 // small["lanes"]
    assert small["fma"] and small["fma"] % per_step == 0
    large = tile_kernel(14, 3)                          # 84 of ymm, or 42 of zmm: more than there are
    assert large["spill_loads"] > 0 and large["spill_stores"] > 0 and "through the stack" in large["hints"][0]
    assert any("(%rsp)" in text for text in large["assembly"])


def test_a_kernel_of_the_cpu_column_with_what_it_links_to():
    args = [np.zeros(shape, np.float32) for shape in ((1, 5, 5, 3), (3, 3, 3, 16), (16,), (1, 3, 3, 16))]
    kernel = kernels.function("cpu", "conv2d_forward")
    kernel(*args, 1, 1, 0, 0)
    report = xray.inspect(kernel)
    assert report["function"] in kernels.jit.LINKED and report["where"] is None
    assert report["register"] in ("ymm", "zmm") and report["fma"] >= 8


def test_a_kernel_from_the_cache_is_read_as_well():
    """The second object loads what the first one left in the cache, where Numba keeps no listing."""
    reports = []
    for _ in range(2):
        kernel = kernels.jit.Kernel(kernels.function("cpu", "relu_forward").body)
        kernel(ONES, ONES.copy())
        reports.append(xray.inspect(kernel))
    assert sum(kernel.dispatcher.stats.cache_hits.values()) == 1
    assert reports[0] == reports[1] and reports[0]["register"] in ("ymm", "zmm")


def plain(x):
    return x + 1


def test_without_machine_code_there_is_a_sentence(monkeypatch):
    assert "not compiled by Numba" in xray.inspect(plain)["why"] and "not compiled" in xray.inspect(len)["why"]
    assert "first called" in xray.inspect(njit(plain))["why"]
    number = njit(plain)
    number(1.0)
    assert "no loop" in xray.inspect(number)["why"]
    assert xray.text(xray.inspect(plain)) == [
        "x-ray: no machine code: plain is not compiled by Numba, and names no function that is"]
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert xray.text(xray.inspect(number)) == ["x-ray: the X-ray reads x86-64 machine code; this machine is arm64"]


inner = njit(axpy)


def outer(x, y):
    inner(x, y)


def test_a_plain_function_is_read_through_what_it_calls():
    outer(ONES, ONES.copy())
    assert xray.inspect(outer)["function"] == "axpy"


def test_the_text_for_a_screen():
    report = inspected(dot, ONES, ONES)
    lines = xray.text(report)
    assert len(lines) == 3 and line(dot, 3) in lines[0] and "scalar, one float32 at a time (this machine has" in lines[0]
    assert "0% vector arithmetic" in lines[1] and "no spills" in lines[1] and lines[2].startswith("  hint: one sum")
    longer = xray.text(report, assembly=True)
    assert longer[:3] == lines and [text.strip() for text in longer[3:]] == report["assembly"]
    assert len(report["assembly"]) == report["instructions"] <= xray.SHOWN


def test_of_two_ways_the_one_that_runs_is_looked_at(monkeypatch):
    """A 3x3 convolution with many channels takes another kernel than one with few."""
    seen = []
    monkeypatch.setattr(xray, "inspect", seen.append)
    monkeypatch.setattr(measure.correct, "judge", lambda *_: measure.correct.Verdict(True, 0.0))
    for text in ("mb2ic64ih16oc64kh3ph1", "mb2ic3ih16oc8kh3ph1"):
        problem = parse(text, "conv2d_forward")
        measure._judge(problem, contenders.Contender("cpu"), measure.Settings(1, 1.0, xray=True))
    both = kernels.function("cpu", "conv2d_forward")
    assert seen == [both.other, both.direct]
