"""No kernel touches a byte outside its arrays, nor writes to its inputs.

Every kernel of the table x every array argument x both ends: the argument begins or ends at a forbidden page, the other
arguments are ordinary; inputs lie on pages that cannot be written. The shapes have tails of all kinds. test_planted_faults.py
shows that kernels with such faults die here.
"""
import itertools

import numpy as np
import pytest
from guard_pages import Guarded, deaths
from kernel_cases import PLAIN, build, few_shapes, grid_of, pooled_windows, run, windows

from minicnn import kernels

SIDES = ("start", "end")
MORE = {        # shapes around the tiles' sizes, beside those of few_shapes
    "conv2d": [windows(4, m, 2, 3, (1, 1), 1, 1, 0, 1, N=2, C=1 + m % 4, K=34 - m) for m in range(1, 33)]
              + [windows(5, 6, 3, 3, (2, 2), N=2, C=c, K=k) for c, k in ((1, 31), (31, 1), (32, 48), (33, 65), (15, 32))],
    "convpool2d": [pooled_windows(7, 9, 3, s, (2, 2), 1, 0, 0, 1, N=2, C=c, K=k)
                   for c, k, s in itertools.product((1, 5, 16, 31), (1, 16, 17, 33), (1, 3, 5))],
    "pool2d": [windows(5, 4, 2, 2, (s, 2), 1, 0, 1, 1, N=2, C=c) for c, s in itertools.product((1, 2, 8, 31, 32, 47), (1, 2, 3))],
    "dense": [{"N": n, "C": c, "K": k}
              for n, c, k in itertools.product((1, 13, 14, 15, 29), (1, 5, 17, 33), (1, 6, 16, 31, 32, 33, 64, 70))],
}


def shapes(name):
    other = [PLAIN[1] | {"E": e, "K": e, "C": e} for e in range(1, 50)]
    more = MORE.get(kernels.COLUMNS["cpu"][name].removesuffix("_cpu"), other)
    return few_shapes(name) + (PLAIN if name.startswith("global") else more)


def assert_safe(name, args, places, side):
    """One call with the arguments `places` at a forbidden page, and the inputs unwritable; in a forked child."""
    expected = run("cpu", name, args)
    spec, given = kernels.SPECS[name], [v.copy() if isinstance(v, np.ndarray) else v for v in args]
    guarded = {i: Guarded(given[i], side) for i, array in enumerate(spec.arrays) if i in places or not array.output}
    for i, page in guarded.items():
        given[i] = page.array
        if not spec.arrays[i].output:
            page.forbid_writing()
    kernels.function("cpu", name)(*given)
    assert all(page.neighbours_are_untouched() for page in guarded.values())
    for array, value in zip(spec.arrays, given, strict=False):
        assert not array.output or value.tobytes() == expected[array.name].tobytes()


def deaths_of(name, shapes, places):
    """The calls that die, told for a message. The parent compiles and calls nothing: its own memory stays whole."""
    calls = [build(name, shape, integers=False) for shape in shapes]
    for kernel in {kernels.function("cpu", name).chosen(call) for call in calls}:
        kernel._prepare(calls[0][:len(kernels.SPECS[name].arrays)])
    found = deaths(itertools.product(calls, SIDES), lambda case: assert_safe(name, case[0], places, case[1]))
    return [f"{[getattr(v, 'shape', v) for v in args]} {side}: {what}" for (args, side), what in found[:5]]


@pytest.mark.parametrize("name, argument", [(name, a.name) for name, spec in kernels.SPECS.items() for a in spec.arrays])
def test_nothing_outside_one_array_is_touched(name, argument):
    assert not deaths_of(name, shapes(name), {kernels.SPECS[name].parameters.index(argument)})


@pytest.mark.parametrize("name", [name for name, spec in kernels.SPECS.items() if spec.windows])
def test_nothing_outside_any_array_is_touched_over_the_grid_of_windows(name):
    spec = kernels.SPECS[name]
    assert not deaths_of(name, grid_of(name), range(len(spec.arrays)))


def test_stray_argmax_leads_nowhere():
    """Whatever stands in argmax, dx is written inside only; taps that do not exist, or lie in a pad, add nothing."""
    name, cases = "maxpool2d_backward", []
    for shape, byte in itertools.product(few_shapes(name), (0, 4, 100, 255)):
        args = build(name, shape)
        args[1][...] = byte
        result, exact = run("cpu", name, args), run("reference", name, args)
        assert np.array_equal(result["dx"], exact["dx"])
        cases += [(args, side) for side in SIDES]
    assert not deaths(cases, lambda case: assert_safe(name, case[0], {2}, case[1]))


def test_guards_guard():
    """Reading or writing one element too far is a death, on the guarded side; and so is writing to what is forbidden."""
    values = np.arange(7, dtype=np.float32)

    def beside(case):
        side, offset, write = case
        guarded = Guarded(values, side)
        page = np.frombuffer(guarded.map, np.uint8)
        at = guarded.array.ctypes.data - guarded.base + 4 * offset
        if write:
            page[at] = 1
        else:
            int(page[at])
        assert guarded.neighbours_are_untouched()

    dead = [("start", -1, False), ("start", -1, True), ("end", 7, False), ("end", 7, True)]
    caught = [("start", 7, True), ("end", -1, True)]        # no page there, but the neighbours have changed
    fine = [("start", 0, True), ("start", 6, False), ("end", 6, True), ("end", 0, True), ("start", 7, False)]
    assert deaths(dead + caught + fine, beside) == [(c, "SIGSEGV") for c in dead] + [(c, "exit 3") for c in caught]

    def write(side):
        guarded = Guarded(values, side)
        guarded.forbid_writing()
        guarded.array[3] = 1

    assert deaths(SIDES, write) == [(side, "SIGSEGV") for side in SIDES]
