"""Where threads that share an image meet: after each kernel, and again for the next image.

Waits are a few microseconds when all threads are running, too short to sleep; so they spin, and after a while let others have
the core at each look (sched_yield). `meet` counts arrivals, and the count only grows, so nobody has to set it back. A thread
that is done lingers, since it takes long to wake: whoever has the next image calls it in (`recruit`), and one that nobody
has called in LINGER looks goes home; both change its state by compare-and-exchange, so that exactly one of them is right.
All threads of a gate are called in, or all are sent home and others asked for at once: if some waited for others that had
yet to come, two callers could wait for each other's threads.
"""
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import helper

LINE = 8                        # numbers of a cache line; a gate is one line of its own for each of these:
ARRIVALS, STOP, STATES = 0, LINE, 2 * LINE      # how often threads arrived; not 0: go home; the state of part 0, 1, ...
DOES, LINGERS, HELD, AWAY = range(4)            # states, of which each image `turn` has its own: 4 turn + DOES, ...
SPINS, LINGER = 2000, 5000      # looks, some 40 to 140 cycles each


def gate_size(parts: int) -> int:
    """Numbers (int64, 0) of a gate for so many threads."""
    return STATES + LINE * parts


def _pointer(builder, address):
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic
def _arrive(typing, address):
    def generate(context, builder, signature, args):
        builder.atomic_rmw("add", _pointer(builder, args[0]), ir.Constant(ir.IntType(64), 1), "seq_cst")
        return context.get_dummy_value()
    return types.void(types.int64), generate


@intrinsic
def _look(typing, address):
    def generate(context, builder, signature, args):
        return builder.load_atomic(_pointer(builder, args[0]), "seq_cst", 8)
    return types.int64(types.int64), generate


@intrinsic
def _set(typing, address, value):
    def generate(context, builder, signature, args):
        builder.store_atomic(args[1], _pointer(builder, args[0]), "seq_cst", 8)
        return context.get_dummy_value()
    return types.void(types.int64, types.int64), generate


@intrinsic
def _exchange(typing, address, old, new):
    """Puts `new` where `old` stands; whether it stood there."""
    def generate(context, builder, signature, args):
        return builder.extract_value(builder.cmpxchg(_pointer(builder, args[0]), args[1], args[2], "seq_cst", "seq_cst"), 1)
    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def _rest(typing, long):
    """One step of a wait: the processor's `pause`, or the system's sched_yield."""
    def generate(context, builder, signature, args):
        for_long, for_short = ir.FunctionType(ir.IntType(32), []), ir.FunctionType(ir.VoidType(), [])
        with builder.if_else(args[0]) as (then, otherwise):
            with then:
                builder.call(cgutils.get_or_insert_function(builder.module, for_long, "sched_yield"), [])
            with otherwise:
                builder.call(cgutils.get_or_insert_function(builder.module, for_short, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()
    return types.void(types.boolean), generate


@helper
def meet(gate, count):
    """Arrives, and waits until `count` arrivals are counted; False if someone said STOP instead."""
    address, spins = gate.ctypes.data, 0
    _arrive(address + 8 * ARRIVALS)
    while _look(address + 8 * ARRIVALS) < count:
        if _look(address + 8 * STOP) != 0:
            return False
        spins += 1
        _rest(spins > SPINS)
    return True


@helper
def stay(gate, part, turn):
    """To be said before the last `meet` of an image: that this thread lingers, so that nobody is sent in its place."""
    _set(gate.ctypes.data + 8 * (STATES + LINE * part), 4 * turn + LINGERS)


@helper
def called(gate, part, turn):
    """Lingers after image `turn`: True if `recruit` calls for the next one, False if it is time to go home."""
    state, looks = gate.ctypes.data + 8 * (STATES + LINE * part), 0
    while True:
        found = _look(state)
        if found != 4 * turn + LINGERS and found != 4 * turn + HELD:
            return found == 4 * (turn + 1) + DOES       # else sent home, and perhaps another thread came since
        looks += 1
        if looks > LINGER:
            _exchange(state, 4 * turn + LINGERS, 4 * turn + AWAY)
        _rest(looks > LINGER)


def recruit(gate, parts, turn):
    """Whether the threads of all parts but 0 linger, and now do image `turn`; if not, they go home."""
    states, before, held = gate.ctypes.data + 8 * STATES, 4 * (turn - 1), 1
    while held < parts and _exchange(states + 8 * LINE * held, before + LINGERS, before + HELD):
        held += 1
    for part in range(1, held):
        _set(states + 8 * LINE * part, 4 * turn + DOES if held == parts else before + AWAY)
    for part in range(held, parts):
        _exchange(states + 8 * LINE * part, before + LINGERS, before + AWAY)
    return held == parts
