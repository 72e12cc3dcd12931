"""Calls of cpu kernels, recorded once and played back by one compiled call: a training step without Python in between.

    tape = Tape()
    with kernels.recording(tape):  ...layers run as ever; every kernel they ask for is run, and noted...
    tape.close(x=x, labels=labels)          the arrays that will lie elsewhere each time
    tape.play(x=other, labels=more, epoch=3)

What a kernel reads and writes stays where it was while recording, but for the arrays that `close` names: their addresses
are put in anew at each `play`. So whoever records owns that memory, and lets nobody else use it. Numbers that change from
step to step are given by their name in the kernels' signatures (Dropout's `epoch`, the loss's `scale`). Every call passes
the compiled check of its arguments again; `play` stops at the first one that fails and says which kernel refused.

How a call is played: Numba compiles a kernel to a function of C's calling convention, whose arguments are pointers and 64-bit
integers (an array is seven of them and more), and doubles. On x86-64 (System V ABI) the first are passed in order, in six
registers and then on the stack, the doubles in registers of their own; arguments that a function does not ask for do no harm.
So one call with INTEGERS integers and DOUBLES doubles serves all kernels. Elsewhere there are no tapes (`available`).
"""
import functools
import os
import platform
import sys

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .bands import split
from .cache import KernelCache
from .dispatch import Refused
from .gate import STOP, called, gate_size, meet, recruit, stay
from .jit import OPTIONS

INTEGERS, DOUBLES = 112, 8
available = platform.machine() in ("x86_64", "AMD64") and sys.platform != "win32" and not config.DISABLE_JIT


@intrinsic
def _call(typing, numbers, doubles, row):
    """Calls numbers[row, 0] with all that follows; the kernel's answer, or False if it failed."""
    def generate(context, builder, signature, args):
        i8, i32, i64, f64 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()
        tables = [context.make_array(t)(context, builder, a) for t, a in zip(signature.args[:2], args[:2], strict=True)]
        ints = builder.gep(tables[0].data, [builder.mul(args[2], ir.Constant(i64, 1 + INTEGERS))])
        floats = builder.gep(tables[1].data, [builder.mul(args[2], ir.Constant(i64, DOUBLES))])
        answer, failure = cgutils.alloca_once(builder, i8), cgutils.alloca_once(builder, i8.as_pointer())
        builder.store(ir.Constant(i8, 0), answer)
        kind = ir.FunctionType(i32, [i8.as_pointer(), i8.as_pointer().as_pointer(), *[i64] * INTEGERS, *[f64] * DOUBLES])
        function = builder.inttoptr(builder.load(ints), kind.as_pointer())
        values = [builder.load(builder.gep(ints, [ir.Constant(i64, k + 1)])) for k in range(INTEGERS)]
        values += [builder.load(builder.gep(floats, [ir.Constant(i64, k)])) for k in range(DOUBLES)]
        status = builder.call(function, [answer, failure, *values])
        fine = builder.icmp_unsigned("==", status, ir.Constant(i32, 0))
        return builder.and_(fine, builder.icmp_unsigned("!=", builder.load(answer), ir.Constant(i8, 0)))
    return types.boolean(numbers, doubles, types.int64), generate


def _play(numbers, doubles):
    """Plays all rows; the number of the first call that failed, or -1."""
    for row in range(numbers.shape[0]):
        if not _call(numbers, doubles, row):
            return row
    return -1


def _play_part(numbers, doubles, gate, part, parts, turn):
    """Plays the rows of one part, and waits after each for the other parts; the number of the call that failed, or -1.

    Parts other than 0, which is the caller's, then linger for the next image.
    """
    while gate[STOP] == 0:
        for row in range(part, numbers.shape[0], parts):
            if numbers[row, 0] != 0 and not _call(numbers, doubles, row):
                gate[STOP] = row // parts + 1
            if part > 0 and row + parts >= numbers.shape[0]:
                stay(gate, part, turn)
            if not meet(gate, turn * numbers.shape[0] + row - part + parts):
                break
        if part == 0 or not called(gate, part, turn):
            break
        turn += 1
    return gate[STOP] - 1


def _place(numbers, places, offsets, array):
    """Puts the address of an array, and what lies behind it, into the table."""
    for i in range(places.size):
        numbers[places[i]] = offsets[i] + array.ctypes.data


@functools.cache
def _compiled(function):
    dispatcher = njit(**OPTIONS)(function)
    dispatcher._cache = KernelCache(f"{__name__}.{function.__name__}")
    return dispatcher


def _flat(value) -> list[int]:
    """An array as compiled code sees it: no owner, elements, bytes of one, address, shape, strides. An integer as it is."""
    if isinstance(value, np.ndarray):
        return [0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides]
    return [int(value)]


def _places(found, width) -> np.ndarray:
    """(row, column) pairs as places in a flat table."""
    return np.array([row * width + column for row, column in found], np.int64)


class Tape:
    """Recorded calls. owned(array): whether the recorder keeps the memory of an array; of others the tape keeps a reference.

    parts: how many threads share each call; then the table has a row for each part of a call, one after the other.
    """

    def __init__(self, owned=lambda array: False, parts: int = 1):
        self.owned, self.parts, self.names = owned, parts, []
        self._gate, self._turn, self._process = None, 0, 0
        self._rows, self._doubles, self._kept = [], [], []
        self._addresses: list[tuple[int, int]] = []             # (row, column) of each array's address
        self._integers: dict[str, list[tuple[int, int]]] = {}   # integer argument -> where it stands, and the same of floats
        self._floats: dict[str, list[tuple[int, int]]] = {}

    def recorder(self, name: str, kernel):
        """A function that runs the kernel and notes the call."""
        def run(*args):
            kernel(*args)
            self._note(name, kernel, args)
        return run

    def _note(self, name, kernel, args) -> None:
        self.names.append(name)
        kernel = kernel.chosen(args)
        for part, own in enumerate(split(kernel, args, self.parts)):
            if own is None:
                self._rows.append([0] * (1 + INTEGERS))
                self._doubles.append([0.0] * DOUBLES)
            else:
                self._note_call(kernel, own, part)

    def _note_call(self, kernel, args, part) -> None:
        arrays = args[:len(kernel.spec.arrays)]
        integers = args[len(arrays):len(arrays) + len(kernel.spec.integers)]
        address, links = kernel.entry(arrays)
        if "parts" in kernel.links:
            links[-2:] = part, self.parts
        row, index = [address], len(self._rows)
        for array in arrays:
            self._addresses.append((index, len(row) + 4))
            row += _flat(array)
            if not self.owned(array):
                self._kept.append(array)
        for setting, value in zip(kernel.spec.integers, integers, strict=True):
            self._integers.setdefault(setting, []).append((index, len(row)))
            row += _flat(value)
        row += links
        doubles = [float(value) for value in args[len(arrays) + len(integers):]]
        for column, setting in enumerate(kernel.spec.floats):
            self._floats.setdefault(setting, []).append((index, column))
        self._rows.append(row + [0] * (1 + INTEGERS - len(row)))
        self._doubles.append(doubles + [0.0] * (DOUBLES - len(doubles)))

    def close(self, **arrays: np.ndarray) -> None:
        """Ends the recording. arrays: those that `play` gets new ones for, of the same size and type."""
        self._numbers = np.array(self._rows, np.int64).reshape(-1, 1 + INTEGERS)
        self._doubles = np.array(self._doubles, np.float64).reshape(-1, DOUBLES)
        self._flat, self._outside = self._numbers.reshape(-1), {}
        slots, flat = _places(self._addresses, 1 + INTEGERS), self._flat
        for name, array in arrays.items():
            start = array.ctypes.data
            inside = slots[(flat[slots] >= start) & (flat[slots] < start + array.nbytes)]
            self._outside[name] = (inside, flat[inside] - start)
        self._settings = {name: (self._flat, _places(found, 1 + INTEGERS)) for name, found in self._integers.items()}
        self._settings |= {name: (self._doubles.reshape(-1), _places(found, DOUBLES)) for name, found in self._floats.items()}
        self._player, self._insert = _compiled(_play if self.parts == 1 else _play_part), _compiled(_place)
        del self._rows, self._addresses, self._integers, self._floats

    def play(self, settings=None, start=None, **arrays: np.ndarray) -> None:
        """All calls again, on `arrays` in place of those named in `close`. settings: numbers that changed, by argument's name.

        start(work, parts): has work(part) of each done by other threads, all of them at once, and does not wait for them.
        Raises Refused where a kernel refuses its arguments (a label out of range).
        """
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}     # alive until all is played
        for name, array in arrays.items():
            self._insert(self._flat, *self._outside[name], array)       # compiled: NumPy's way to an address takes microseconds
        for name, value in (settings or {}).items():
            if name in self._settings:
                table, places = self._settings[name]
                table[places] = value
        stopped = self._player(self._numbers, self._doubles) if self.parts == 1 else self._play_together(start)
        if stopped >= 0:
            raise Refused(f"{self.names[stopped]} refused its arguments")

    def _play_together(self, start) -> int:
        if self._process != os.getpid():        # a fork takes no threads along, not even those that linger
            self._process, self._gate, self._turn = os.getpid(), np.zeros(gate_size(self.parts), np.int64), 0
        turn, self._turn = self._turn, self._turn + 1

        def work(part):
            try:
                return self._player(self._numbers, self._doubles, self._gate, part, self.parts, turn)
            except BaseException:               # nobody shall wait for a part that does not come
                self._gate[STOP] = 1
                raise

        try:
            if not _compiled(recruit)(self._gate, self.parts, turn):
                start(work, range(1, self.parts))
            return work(0)
        except BaseException:
            self._gate[STOP] = 1
            raise
