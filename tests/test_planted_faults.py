"""Kernels with a planted fault of one element die on guarded arrays: the proof that test_cpu_memory.py can fail.

A family's cpu module is run once more with some words of its vocabulary replaced by faulty ones (a load of one lane too
many, a contraction of one row too many), and each faulty kernel must die in the child. The same module with nothing
replaced must not.
"""
import importlib
import itertools
import sys
import types
from dataclasses import replace
from pathlib import Path

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
def tile_load_one_more(t, a, i, step, n):
    return simd.tile_load(t, a, i, step, n + 1)


@jit.helper
def tile_fma_one_more(t, a, i, rows, b, j, n):
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


FAULTS = [      # family, kernel, module of the vocabulary, word, what stands in its place
    ("activation", "relu_backward", "simd", "load_tail", load_one_more),
    ("activation", "relu_backward", "simd", "load_tail", load_one_before),
    ("activation", "relu_backward", "simd", "store_tail", store_one_more),
    ("batchnorm", "batchnorm_forward", "simd", "load_tail", load_one_more),
    ("batchnorm", "batchnorm_forward", "simd", "store_tail", store_one_more),
    ("conv2d", "conv2d_forward", "simd", "load_tail", load_one_more),
    ("conv2d", "conv2d_forward", "jit", "call", one_row_more),
    ("conv2d", "conv2d_backward_input", "jit", "call", one_row_more),
    ("conv2d", "conv2d_backward_weight", "jit", "call", one_column_more),
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


def run_again(monkeypatch, module, **replaced):
    """A module of minicnn.kernels, run once more; replaced: modules that its imports find in the place of the real ones."""
    name = f"minicnn.kernels.{module}"
    again = types.ModuleType(name)
    again.__package__, again.__file__ = "minicnn.kernels", importlib.import_module(name).__file__
    with monkeypatch.context() as patch:
        for short, stand_in in replaced.items():
            patch.setitem(sys.modules, f"minicnn.kernels.{short}", stand_in)
        exec(compile(Path(again.__file__).read_text("utf-8"), again.__file__, "exec"), again.__dict__)
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
    kernel._prepare(calls[0][:len(kernels.SPECS[name].arrays)])       # compiles and calls nothing: a fault belongs in the child

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


def test_every_family_has_a_planted_fault():
    assert {family for family, *_ in FAULTS} == set(FAMILIES)


@pytest.mark.parametrize("family", CONTROLS)
def test_without_a_fault_nothing_dies(monkeypatch, family):
    name, module, word, stand_in = CONTROLS[family]
    again = run_again(monkeypatch, f"{family}_cpu", **{module: with_fault(module, word, stand_in)})
    assert not deaths_on_guarded_arrays(name, getattr(again, name))


@pytest.mark.parametrize("family, name, module, word, stand_in", FAULTS)
def test_a_fault_of_one_element_is_a_death(monkeypatch, family, name, module, word, stand_in):
    again = run_again(monkeypatch, f"{family}_cpu", **{module: with_fault(module, word, stand_in)})
    side = "start" if stand_in is load_one_before else "end"
    assert (side, "SIGSEGV") in deaths_on_guarded_arrays(name, getattr(again, name))


@pytest.mark.parametrize("word, stand_in", [
    ("tile_load", tile_load_one_more), ("tile_fma", tile_fma_one_more), ("tile_store", tile_store_one_more),
])
def test_a_tile_one_column_too_wide_is_a_death(monkeypatch, word, stand_in):
    """The contraction with faulty tiles (the small ones of AVX2, which compile faster) under a dense layer."""
    monkeypatch.setitem(jit.LINKED, "contract", None)                   # put back at the end
    monkeypatch.setattr(numba.config, "CPU_NAME", "generic")
    contract = run_again(monkeypatch, "contract_cpu", simd=with_fault("simd", word, stand_in))
    dense = run_again(monkeypatch, "dense_cpu", contract_cpu=contract)
    assert ("end", "SIGSEGV") in deaths_on_guarded_arrays("dense_forward", dense.dense_forward)


def test_a_label_that_nobody_checks_is_a_death(monkeypatch):
    """The compiled check without its loop over the labels: a label of K reads past the last row."""
    entry = jit._entry

    def without_labels(spec, body, links):
        arrays = tuple(replace(a, name="unchecked" if a.name == "labels" else a.name) for a in spec.arrays)
        return entry(replace(spec, arrays=arrays), body, links)

    name = "softmax_cross_entropy_forward"
    args = build(name, {"N": 2, "K": 16})
    args[1][-1] = 16
    results = {}
    for patched in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr(jit, "_entry", without_labels if patched else entry)
            kernel = run_again(monkeypatch, "loss_cpu").__dict__[name]
            kernel._prepare(args[:4])

        def call(case, kernel=kernel):
            guarded = [Guarded(v, "end") for v in args[:4]]
            with pytest.raises(ValueError, match="labels lie in"):
                kernel(*(g.array for g in guarded), 0.0)
        results[patched] = [what for _, what in deaths([0], call)]
    assert results == {True: ["SIGSEGV"], False: []}
