"""Winograd's convolution: within its bounds, adjoint, one image by itself, where it is chosen, and how to keep it out.

It rounds in its transforms, so no test is exact; the bounds are those of kernels/HOWTO.md. The kernels are called directly
here, also at shapes for which the direct sum would be chosen: fewer channels than a vector, maps smaller than a tile.
"""
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import winograd_faults
from closeness import EPS, assert_close, measured
from guard_pages import Guarded, deaths
from kernel_bounds import winograd
from kernel_cases import build, run, windows

from minicnn import kernels

NAMES = ["conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight"]
CHANNELS = [(1, 1), (3, 17), (16, 16), (17, 3), (33, 40), (64, 70)]
PADS = [(1, 1, 1, 1), (0, 0, 0, 0), (2, 2, 2, 2), (0, 1, 2, 0), (2, 0, 1, 1)]


def maps():
    """Every remainder of a tile, five kinds of pads, six of channels."""
    shapes = itertools.product((1, 2, 3, 4, 5, 7, 8, 9), (1, 2, 4, 6, 11))
    for i, (h, w) in enumerate(shapes):
        (top, left, bottom, right), (c, k) = PADS[i % 5], CHANNELS[i % 6]
        if h + top + bottom >= 3 and w + left + right >= 3:
            yield windows(h, w, 3, 3, (1, 1), top, left, bottom, right, N=1 + i % 4, C=c, K=k)


def layer(size, c, k, n=2):
    return windows(size, size, 3, 3, (1, 1), 1, 1, 1, 1, N=n, C=c, K=k)


MAPS = list(maps())
BLOCKS = [              # several blocks of tiles: images by some, and lines of tiles of one image
    layer(8, 5, 3, n=35),
    windows(36, 49, 3, 3, (1, 1), 1, 1, 1, 1, N=2, C=3, K=18),
    windows(9, 600, 3, 3, (1, 1), 2, 0, 0, 1, N=1, C=2, K=4),
]
LAYERS = [layer(16, 64, 64), layer(8, 128, 96), layer(4, 256, 256), layer(14, 40, 33)]


def called(kernel, name, args):
    """The outputs by name of one call on copies."""
    spec, given = kernels.SPECS[name], [v.copy() if isinstance(v, np.ndarray) else v for v in args]
    kernel(*given)
    return {array.name: value for array, value in zip(spec.arrays, given, strict=False) if array.output}


def other(name):
    return kernels.function("cpu", name).other


def bounds_of(name, args):
    values = [v.astype(np.float64) if isinstance(v, np.ndarray) else v for v in args]
    return winograd(name, dict(zip(kernels.SPECS[name].parameters, values, strict=True)))


@pytest.mark.parametrize("name", NAMES)
def test_every_shape_is_within_the_bound(name):
    assert len(MAPS) > 25
    for shape in MAPS + BLOCKS + LAYERS:
        args = build(name, shape, integers=False)
        exact, result = run("reference", name, args), called(other(name), name, args)
        for output, (c, terms) in bounds_of(name, args).items():
            assert_close(result[output], exact[output], terms, c, f"{name} {shape}: {output}")


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_is_not_far_too_wide(name):
    used = 0.0
    for shape in MAPS + LAYERS:
        args = build(name, shape, 1, integers=False)
        exact, result = run("reference", name, args), called(other(name), name, args)
        output, (c, terms) = next(iter(bounds_of(name, args).items()))
        used = max(used, measured(result[output], exact[output], c * terms))
    assert 0.1 < used <= 1


@pytest.mark.parametrize("shape", [LAYERS[0], LAYERS[3], windows(9, 7, 3, 3, (1, 1), 0, 2, 1, 0, N=3, C=33, K=40)])
def test_the_three_directions_are_adjoint(shape):
    """<forward(x), g> = <x, dx> = <w, dw>, in float64 sums of what the kernels give."""
    x, w, b, y, *window = build("conv2d_forward", shape, integers=False)
    b[:] = 0
    g = np.random.default_rng(3).standard_normal(y.shape).astype(np.float32)
    (y,) = called(other(NAMES[0]), NAMES[0], [x, w, b, y, *window]).values()
    (dx,) = called(other(NAMES[1]), NAMES[1], [g, w, np.full_like(x, np.nan), *window]).values()
    dw = called(other(NAMES[2]), NAMES[2], [x, g, np.full_like(w, np.nan), b, *window])["dw"]
    products = [float(np.sum(u * v, dtype=np.float64)) for u, v in ((y, g), (x, dx), (w, dw))]
    scale = float(np.sum(np.abs(y * g), dtype=np.float64))
    assert np.ptp(products) <= 8 * EPS * scale and abs(products[0]) > 100 * EPS * scale


@pytest.mark.parametrize("name", NAMES[:2])
def test_an_image_does_not_depend_on_the_others(name):
    """Blocks of tiles span images; the bits of each are those it has alone."""
    for shape in (LAYERS[1] | {"N": 19}, BLOCKS[0], BLOCKS[1]):
        args, N = build(name, shape, integers=False), shape["N"]
        (together,) = called(other(name), name, args).values()
        batched = {i for i, array in enumerate(kernels.SPECS[name].arrays) if array.axes[0] == "N"}
        for n in (0, 1, N - 1):
            alone = [v[n:n + 1] if i in batched else v for i, v in enumerate(args)]
            (single,) = called(other(name), name, alone).values()
            assert single.tobytes() == together[n:n + 1].tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch(name):
    args = build(name, layer(8, 32, 33, n=0))
    for value in called(other(name), name, args).values():
        assert not value.any()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_outside_the_arrays_is_touched(name):
    calls = [build(name, shape, integers=False) for shape in MAPS + BLOCKS]
    arrays = kernels.SPECS[name].arrays
    other(name)._prepare(calls[0][:len(arrays)])

    def call(case):
        args, side = case
        expected = called(other(name), name, args)
        guarded = [Guarded(v, side) for v in args[:len(arrays)]]
        for array, page in zip(arrays, guarded, strict=True):
            if not array.output:
                page.forbid_writing()
        other(name)(*(page.array for page in guarded), *args[len(arrays):])
        for array, page in zip(arrays, guarded, strict=True):
            assert page.neighbours_are_untouched()
            assert not array.output or page.array.tobytes() == expected[array.name].tobytes()

    assert not deaths(itertools.product(calls, ("start", "end")), call)


def test_a_nan_stays_in_the_tiles_it_is_a_part_of():
    """A pixel's NaN reaches all outputs whose tile reads it, and no others; all that the plain sum makes NaN are."""
    name, shape = "conv2d_forward", layer(20, 32, 32, n=2)
    args = build(name, shape, integers=False)
    args[0][1, 9, 6, 5] = np.nan
    lost = np.isnan(called(other(name), name, args)["y"])
    assert lost[1, 8:12, 4:8].all() and not lost[0].any()           # the window rows 8 .. 10, columns 5 .. 7 among them
    lost[1, 8:12, 4:8] = False
    assert not lost.any()


# ---- the choice ----

@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape, wanted", [
    (layer(32, 64, 64), True), (layer(16, 64, 128), True), (layer(8, 256, 256), True), (layer(4, 256, 256), True),
    (layer(32, 3, 64), False), (layer(32, 16, 32), False), (layer(1, 256, 256), False), (layer(2, 256, 256), False),
    (windows(32, 32, 5, 5, N=2, C=64, K=64), False), (windows(33, 33, 3, 3, (2, 2), N=2, C=64, K=64), False),
    (windows(32, 32, 3, 3, (1, 2), N=2, C=64, K=64), False), (windows(32, 32, 3, 3, (1, 1), 3, 0, 0, 0, N=2, C=64, K=64), False),
    (windows(32, 32, 3, 3, (1, 1), 0, 0, 0, 3, N=2, C=64, K=64), False), (windows(32, 32, 3, 3, N=2, C=64, K=64), True),
])
def test_where_it_is_chosen_whatever_n(name, shape, wanted):
    choice = kernels.function("cpu", name)
    for n in (0, 1, 100):
        args = build(name, shape | {"N": n})
        assert choice.chosen(args) is (choice.other if wanted else choice.direct)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_runs_what_is_chosen(name):
    args = build(name, LAYERS[0], integers=False)
    choice, direct, fast = kernels.function("cpu", name), *(
        called(k, name, args) for k in (kernels.function("cpu", name).direct, other(name)))
    output = kernels.SPECS[name].outputs[0].name
    assert not np.array_equal(direct[output], fast[output])
    assert np.array_equal(called(choice, name, args)[output], fast[output])
    given = [v.copy() if isinstance(v, np.ndarray) else v for v in args]
    choice(**dict(zip(kernels.SPECS[name].parameters, given, strict=True)))
    assert np.array_equal(dict(zip(kernels.SPECS[name].parameters, given, strict=True))[output], fast[output])


def test_exact_keeps_it_out():
    name = NAMES[0]
    choice = kernels.function("cpu", name)
    with kernels.use(exact=True):
        assert kernels.get(name, np.dtype("f4")) is choice.direct and kernels.get(name, np.dtype("f8")) is not choice.direct
        with kernels.use("cpu"):
            assert kernels.get(name, np.dtype("f4")) is choice.direct
        with kernels.use("reference"):
            assert kernels.get(name, np.dtype("f4")) is kernels.function("reference", name)
        with kernels.use(exact=False):
            assert kernels.get(name, np.dtype("f4")) is choice
        with kernels.use(conv2d_forward=print):
            assert kernels.get(name, np.dtype("f4")) is print
    assert kernels.get(name, np.dtype("f4")) is choice


@pytest.mark.parametrize("name", NAMES)
def test_the_direct_sum_stays_exact_where_winograd_is_chosen(name):
    args = build(name, layer(9, 33, 48, n=2))
    exact = run("reference", name, args)
    assert kernels.function("cpu", name).chosen(args) is other(name)
    with kernels.use(exact=True):
        result = called(kernels.get(name, np.dtype("f4")), name, args)
    assert all(np.array_equal(v, exact[k]) for k, v in result.items())


def test_without_the_compiler_and_with_wrong_constants():
    """The kernels in Python give the compiled ones' bits from poisoned scratch; each constant changed a little is a failure."""
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("winograd_faults.py"))], capture_output=True, text=True,
                          env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout)
    assert answer["bits"] == {name: winograd_faults.bits(name) for name in NAMES}
    assert answer["planted"] > 60 and answer["survived"] == []
