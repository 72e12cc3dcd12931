"""Kernels with a planted fault of one element die on guarded arrays: the proof that test_cpu_memory.py can fail.

A family's cpu modules are imported once more with a word of their vocabulary replaced by a faulty one (a load of one lane
too many, a contraction of one row too many), and the faulty kernel must die in the child. With nothing replaced it must not.
"""
import importlib
import itertools
import sys
import types
from dataclasses import replace

import numba
import numpy as np
import pytest
from guard_pages import Guarded, deaths
from kernel_cases import build, few_shapes
from numba.core.caching import NullCache

from minicnn import kernels
from minicnn.kernels import jit, simd
from minicnn.kernels.dispatch import FAMILIES


@jit.helper
def load_one_more(a, i, n):
    return simd.load_tail(a, i, n + 1)


@jit.helper
def load_one_before(a, i, n):
    return simd.load_tail(a, i - 1, n)


@jit.helper
def store_one_more(a, i, v, n):
    simd.store_tail(a, i, v, n + 1)


@jit.helper
def load_bytes_one_more(a, i, n):
    return simd.load_bytes(a, i, n + 1)


@jit.helper
def store_bytes_one_more(a, i, v, n):
    simd.store_bytes(a, i, v, n + 1)


@jit.helper
def tile_add_one_more(t, a, i, step, n):
    return simd.tile_add(t, a, i, step, n + 1)


@jit.helper
def tile_fma_one_more(t, a, i, rows, b, j, n):
    if n is None:
        return simd.tile_fma(t, a, i, rows, b, j, None)
    return simd.tile_fma(t, a, i, rows, b, j, n + 1)


@jit.helper
def tile_store_one_more(t, a, i, step, n):
    simd.tile_store(t, a, i, step, n + 1)


@jit.helper
def one_row_more(contract, a, b, start, out, numbers):
    jit.call(contract, a, b, start, out, numbers[:2] + (numbers[2] + 1,) + numbers[3:])


@jit.helper
def one_column_more(contract, a, b, start, out, numbers):
    jit.call(contract, a, b, start, out, numbers[:3] + (numbers[3] + 1,) + numbers[4:])


@jit.helper
def one_term_more(contract, a, b, start, out, numbers):
    jit.call(contract, a, b, start, out, numbers[:6] + (numbers[6] + 1,) + numbers[7:])


PACKAGE = "minicnn.kernels."
WINOGRAD = ("winograd_cpu", "winograd_weight_cpu")       # proved in test_winograd.py
FAULTS = [      # family, kernel, module of the vocabulary, word, what stands in its place
    ("activation", "relu_backward", "simd", "load_tail", load_one_more),
    ("activation", "relu_backward", "simd", "load_tail", load_one_before),
    ("activation", "relu_backward", "simd", "store_tail", store_one_more),
    ("batchnorm", "batchnorm_forward", "simd", "load_tail", load_one_more),
    ("batchnorm", "batchnorm_forward", "simd", "store_tail", store_one_more),
    ("batchnorm", "batchnorm_backward_sums", "simd", "load_tail", load_one_more),
    ("conv2d", "conv2d_forward", "simd", "load_tail", load_one_more),
    ("conv2d", "conv2d_forward", "jit", "call", one_row_more),
    ("conv2d", "conv2d_backward_input", "jit", "call", one_row_more),
    ("conv2d", "conv2d_backward_weight", "jit", "call", one_column_more),
    ("convpool2d", "convpool2d_forward", "simd", "store_tail", store_one_more),
    ("convpool2d", "convpool2d_forward", "simd", "store_bytes", store_bytes_one_more),
    ("convpool2d", "convpool2d_backward_input", "simd", "store_tail", store_one_more),
    ("convpool2d", "convpool2d_backward_weight", "simd", "load_tail", load_one_more),
    ("dense", "dense_forward", "jit", "call", one_row_more),
    ("dense", "dense_backward_input", "jit", "call", one_column_more),
    ("dense", "dense_backward_weight", "jit", "call", one_term_more),
    ("dropout", "dropout_backward", "simd", "load_bytes", load_bytes_one_more),
    ("dropout", "dropout_backward", "simd", "store_tail", store_one_more),
    ("loss", "mean_squared_error_backward", "simd", "load_tail", load_one_more),
    ("pool2d", "maxpool2d_forward", "simd", "load_tail", load_one_more),
    ("pool2d", "maxpool2d_forward", "simd", "store_bytes", store_bytes_one_more),
    ("softmax", "softmax_backward", "simd", "load_tail", load_one_more),
    ("softmax", "softmax_backward", "simd", "store_tail", store_one_more),
    ("update", "sgd_update", "simd", "load_tail", load_one_more),
    ("update", "sgd_update", "simd", "store_tail", store_one_more),
]
CONTROLS = {family: (kernel, "simd", "LANES", simd.LANES) for family, kernel, *_ in reversed(FAULTS)}     # nothing replaced


def imported_again(monkeypatch, module, kept=("contract_cpu", *WINOGRAD), **stand_ins):
    """A cpu module and all those below it, imported once more over stand-ins for some modules; `kept` ones stay as they are."""
    for name in kernels.KERNELS:
        kernels.function("cpu", name)           # all real modules are there, so that they can be put back
    real = {name: m for name, m in sys.modules.items() if name.startswith(PACKAGE) and isinstance(m, types.ModuleType)}
    with monkeypatch.context() as patch:
        for name in real:
            short = name.removeprefix(PACKAGE)
            if short in stand_ins:
                patch.setitem(sys.modules, name, stand_ins[short])
            elif short.endswith(("_cpu", "_math")) and short not in kept:
                patch.delitem(sys.modules, name)
        again = importlib.import_module(PACKAGE + module)
    for name, original in real.items():
        setattr(kernels, name.removeprefix(PACKAGE), original)
    return again


def with_fault(module, word, stand_in):
    """A copy of a module of the vocabulary with one word replaced."""
    original = importlib.import_module(f"minicnn.kernels.{module}")
    copy = types.ModuleType(original.__name__)
    copy.__dict__.update(vars(original) | {word: stand_in})
    assert word in vars(original)
    return copy


def deaths_on_guarded_arrays(name, kernel):
    """How the calls of a kernel die when all arrays are guarded, over some shapes and both sides."""
    calls = [build(name, shape, integers=False) for shape in few_shapes(name)]
    kernel.direct._prepare(calls[0][:len(kernels.SPECS[name].arrays)])      # compiles only: a fault belongs in the child

    def call(case):
        args, side = case
        guarded = [Guarded(v, side) if isinstance(v, np.ndarray) else v for v in args]
        kernel(*(g.array if isinstance(g, Guarded) else g for g in guarded))

    return {(side, what) for (_, side), what in deaths(itertools.product(calls, ("start", "end")), call)}


@pytest.fixture(autouse=True)
def off_the_disk(monkeypatch):
    """Planted kernels never get into the cache; the real contraction is compiled before."""
    kernels.function("cpu", "dense_forward")
    jit.LINKED["contract"].address()
    monkeypatch.setattr(jit, "KernelCache", lambda name: NullCache())


@pytest.fixture
def planted(monkeypatch):
    """planted(kernel, module, word, stand_in): the kernel built upon a copy of a module where one word is replaced."""
    def plant(name, module, word, stand_in):
        again = imported_again(monkeypatch, kernels.COLUMNS["cpu"][name], **{module: with_fault(module, word, stand_in)})
        assert getattr(again, name) is not kernels.function("cpu", name)
        return getattr(again, name)
    return plant


def test_every_family_has_a_planted_fault():
    assert {family for family, *_ in FAULTS} == set(FAMILIES)


@pytest.mark.parametrize("family", CONTROLS)
def test_without_a_fault_nothing_dies(planted, family):
    name, *nothing = CONTROLS[family]
    assert not deaths_on_guarded_arrays(name, planted(name, *nothing))


@pytest.mark.parametrize("family, name, module, word, stand_in", FAULTS)
def test_a_fault_of_one_element_is_a_death(planted, family, name, module, word, stand_in):
    side = "start" if stand_in is load_one_before else "end"
    assert (side, "SIGSEGV") in deaths_on_guarded_arrays(name, planted(name, module, word, stand_in))


@pytest.mark.parametrize("word, stand_in", [
    ("tile_add", tile_add_one_more), ("tile_fma", tile_fma_one_more), ("tile_store", tile_store_one_more),
])
def test_a_tile_one_column_too_wide_is_a_death(monkeypatch, word, stand_in):
    """The contraction with faulty tiles (the small ones of AVX2, which compile faster) under a dense layer."""
    monkeypatch.setitem(jit.LINKED, "contract", None)                   # put back at the end
    monkeypatch.setattr(numba.config, "CPU_NAME", "generic")
    dense = imported_again(monkeypatch, "dense_cpu", kept=WINOGRAD, simd=with_fault("simd", word, stand_in))
    assert ("end", "SIGSEGV") in deaths_on_guarded_arrays("dense_forward", dense.dense_forward)


@pytest.mark.parametrize("checked", [False, True])
def test_a_label_that_nobody_checks_is_a_death(monkeypatch, planted, checked):
    """The compiled check with and without its loop over the labels: a label of K reads past the last row."""
    def without_labels(spec, body, links):
        arrays = tuple(replace(a, name="unchecked" if a.name == "labels" else a.name) for a in spec.arrays)
        return entry(replace(spec, arrays=arrays), body, links)

    entry, name = jit._entry, "softmax_cross_entropy_forward"
    args = build(name, {"N": 2, "K": 16})
    args[1][-1] = 16
    monkeypatch.setattr(jit, "_entry", entry if checked else without_labels)
    kernel = planted(name, "simd", "LANES", simd.LANES)
    kernel._prepare(args[:4])

    def call(case):
        guarded = [Guarded(v, "end") for v in args[:4]]
        with pytest.raises(ValueError, match="labels lie in"):
            kernel(*(g.array for g in guarded), 0.0)
    assert [what for _, what in deaths([0], call)] == ([] if checked else ["SIGSEGV"])
