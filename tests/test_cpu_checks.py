"""The compiled check of a cpu kernel and the validator of the table judge alike.

What the compiled check lets through reaches raw pointers, so this is the argument for memory safety: over thousands of
calls, good ones and ones with a shape, a number, a label or an address moved a little or very far, it says yes exactly
where table.validate, which counts in Python's unlimited integers, raises nothing.
"""
import numpy as np
import pytest
from kernel_cases import NUMBERS, few_shapes
from numba import njit

from minicnn import kernels
from minicnn.kernels import jit
from minicnn.kernels.table import validate

FAR = [-2**63, -2**31, -1, 0, 1, 2, 3, 255, 256, 4095, 4096, 4097, *(2**n + d for n in (31, 32, 53, 62) for d in (-1, 0, 1)),
       2**63 - 1]
RATES = [-0.1, 0.0, 0.5, 1 - 2**-53, 1.0, 1.5, float("nan"), float("inf")]
POOL = np.zeros(1 << 16, np.int64)          # all arrays are carved out of it
CALLS = 400


def nothing(*args):
    """The body of a kernel that does nothing."""


@pytest.fixture(scope="module", params=kernels.KERNELS)
def check(request):
    """(specification, its compiled check: True where a call may go through)."""
    spec = kernels.SPECS[request.param]
    return spec, njit(**jit.OPTIONS)(jit._entry(spec, nothing, ()))


def carve(array, extents, place):
    """An array of these extents that starts `place` bytes into the pool."""
    dtype = np.dtype(np.float32 if array.dtype == "float" else array.dtype)
    place -= place % dtype.itemsize
    return np.ndarray(extents, dtype, POOL, place)


class Call:
    """A call that may be spoiled: extents of each array, their places in the pool, labels, numbers."""

    def __init__(self, spec, rng):
        shapes = few_shapes(spec.name)
        shape = dict(shapes[rng.integers(len(shapes))])
        if rng.random() < 0.2:
            shape["N"] = 0
        self.spec, self.rng, self.classes, self.spoil_label = spec, rng, shape.get("K"), None
        self.extents = [[shape["N"], shape["E"]] if a.axes == "*" else [shape[x] for x in a.axes] for a in spec.arrays]
        self.numbers = {n: (shape if n in shape else NUMBERS[False])[n] for n in spec.integers + spec.floats}
        sizes = [8 * (int(np.prod(e)) + 1) for e in self.extents]
        self.places = [sum(sizes[:i]) for i in range(len(sizes))]

    def spoil(self):
        """One thing is changed; the call may stay a good one."""
        rng, spec = self.rng, self.spec
        i = rng.integers(len(self.extents))
        axis = rng.integers(len(self.extents[i]))
        letter, what = spec.arrays[i].axes[axis:axis + 1], rng.integers(6)
        if what == 0:                                                       # one axis of one array
            self.extents[i][axis] = max(0, self.extents[i][axis] + int(rng.choice([-1, 1, 2])))
        elif what == 1 and spec.arrays[i].axes != "*":                      # one letter in all arrays, N too
            value = max(0, self.extents[i][axis] + int(rng.choice([-1, 1, 3])))
            self.set_letter(letter, value)
        elif what == 2 and spec.arrays[i].axes != "*" and letter != "N" and not self.extents[0][0]:     # far, in an empty batch
            self.set_letter(letter, int(rng.choice([2**20, 2**31, 2**33, 2**40])))
        elif what == 3 and self.numbers:
            name = rng.choice(list(self.numbers))
            near = [max(-2**63, min(2**63 - 1, self.numbers[name] + d)) for d in (-1, 1, 2)]
            kind, values = (float, RATES) if name in spec.floats else (int, near if rng.random() < 0.5 else FAR)
            self.numbers[name] = kind(rng.choice(values))
        elif what == 4:                                                     # somewhere else in the pool
            j = rng.integers(len(self.places))
            self.places[i] = max(0, self.places[j] + int(rng.choice([-8, -4, 0, 4, 8, 64, 4 * int(np.prod(self.extents[j]))])))
        elif self.classes:
            self.spoil_label = int(rng.choice([-2**63, -1, 0, self.classes - 1, self.classes, 2**32, 2**63 - 1]))

    def set_letter(self, letter, value):
        for array, extents in zip(self.spec.arrays, self.extents, strict=True):
            for axis, other in enumerate(array.axes):
                if other == letter:
                    extents[axis] = value

    def arguments(self):
        POOL[:64] = 0
        arrays = [carve(*args) for args in zip(self.spec.arrays, self.extents, self.places, strict=True)]
        for array, value in zip(self.spec.arrays, arrays, strict=True):
            if array.name == "labels":
                value[...] = 0
                if self.spoil_label is not None and value.size:
                    value[-1] = self.spoil_label
        return arrays + list(self.numbers.values())


def judged(spec, args):
    try:
        validate(spec, tuple(args), np.dtype(np.float32))
    except (ValueError, TypeError) as reason:
        return str(reason)
    return None


def test_compiled_check_and_validator_agree(check):
    spec, compiled = check
    rng = np.random.default_rng(list(spec.name.encode()))
    passed, refused = 0, set()
    for _ in range(CALLS):
        call = Call(spec, rng)
        for _ in range(rng.integers(3)):
            call.spoil()
        try:
            args = call.arguments()
        except (ValueError, TypeError):     # NumPy has no array so large, or it leaves the pool
            continue
        reason = judged(spec, args)
        said = compiled(*args)
        assert said == (reason is None), (
            f"{spec.name}{[a.shape if isinstance(a, np.ndarray) else a for a in args]} at {call.places}: the compiled check says "
            f"{said}, the validator {reason!r}")
        passed, refused = passed + said, refused | {reason}
    assert passed > CALLS / 4 and len(refused) > 4, "nothing was tried"


def test_an_address_is_an_overlap_to_the_byte():
    """Arrays that touch do not overlap, one byte in common does; empty arrays overlap with nothing."""
    def overlap(a, b):
        return jit._overlap(a.ctypes.data, a.nbytes, b.ctypes.data, b.nbytes)

    bytes_ = POOL.view(np.uint8)
    for first, length in [(40, 16), (48, 0), (24, 16), (20, 16), (39, 1), (40, 1), (55, 1), (56, 8), (41, 0), (0, 200)]:
        a, b = bytes_[40:56], np.ndarray(length, np.uint8, POOL, first)
        for one, other in ((a, b), (b, a)):
            assert overlap(one, other) == np.may_share_memory(one, other) == (length > 0 and first < 56 and first + length > 40)


@pytest.mark.parametrize("name", [name for name, spec in kernels.SPECS.items() if spec.windows])
def test_windows_fit_to_the_last_row(name):
    """Every number of windows from none to too many, for all pads, strides and sizes near each other."""
    spec = kernels.SPECS[name]
    fit, pool = jit._windows_fit, "size_h" in spec.integers
    for extent in (1, 2, 5):
        for window in (1, 2, 6):
            for stride in (1, 2, 7):
                for pad in range(4):
                    limit = window - 1 if pool else 4096
                    for outputs in range(1, 9):
                        after = (outputs - 1) * stride + window - pad - extent
                        largest = max(0, -after) < stride                   # no further window would fit into the input
                        assert fit(extent, outputs, window, stride, pad, limit) == (largest and after <= limit and pad <= limit)


@pytest.mark.parametrize("extent, outputs, stride", [
    (1, 2**33 + 1, 2**31 - 1), (2**40, 2**33 + 2, 2**31 - 1), (1, 2**60, 16), (3, 2**62 + 1, 4), (2**62, 2**62, 2),
])
def test_products_beyond_64_bits_do_not_wrap_around(extent, outputs, stride):
    assert not jit._windows_fit(extent, outputs, 1, stride, 0, 4096)
