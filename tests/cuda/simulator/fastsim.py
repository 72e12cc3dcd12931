"""Runs a kernel thread by thread in Python, and watches what the threads do to each other's memory.

`with fastsim.installed(): ...` puts it in the place of the launcher of Numba's simulator, which starts an operating system's
thread for each thread of a block and knows no warps. Here a thread is a greenlet: it runs until it waits at a barrier, then
the next one does, in an order that is shuffled by a seed. A block ends before the next one begins; their order is shuffled, too.

Found and named, with the thread and the place:

    RaceError          two threads, no barrier between, one array element, and at least one of them writes: in shared
                       memory, and in global memory, where no barrier orders threads of different blocks
    BarrierDivergence  threads that wait at different barriers, or ended before one; a warp operation without the whole warp
    IndexError         an index below 0 or behind the end: on the GPU that is somebody else's memory

Shared and local memory begin as NaN (all ones), so that what is used before it is written shows.
"""
import contextlib
import itertools
import random
import sys
from dataclasses import dataclass

import greenlet
import numpy as np
from numba import cuda as real
from tracked import Tracked, poisoned

WARP = 32


class BarrierDivergence(RuntimeError):
    """Threads that wait where others do not."""


@dataclass
class Dim3:
    """A place in a grid or a block, or its size."""

    x: int
    y: int = 1
    z: int = 1

    @classmethod
    def size(cls, given):
        return cls(*map(int, given)) if isinstance(given, tuple | list) else cls(int(given))

    def places(self):
        return [Dim3(x, y, z) for z in range(self.z) for y in range(self.y) for x in range(self.x)]


class Thread:
    """One thread of a block: where it is, and what it waits for."""

    def __init__(self, number, place, block):
        self.number, self.place, self.block = number, place, block
        self.warp = number // WARP
        self.waits = self.where = None
        self.barriers = self.warp_barriers = 0      # how many it has passed
        self.exchanges = 0

    def __str__(self):
        return f"thread {self.number} of block {(self.block.place.x, self.block.place.y, self.block.place.z)}"

    def wait(self, what):
        """Hand over to the scheduler until all have come; `where` is the kernel's line that waits."""
        frame = sys._getframe(2)
        while frame.f_code.co_filename == __file__:
            frame = frame.f_back
        self.waits, self.where = what, (frame.f_code.co_name, frame.f_lineno, frame.f_lasti)
        self.block.scheduler.switch()


class Block:
    """The threads of one block, their shared memory, and the scheduler that lets them run by turns."""

    def __init__(self, launch, place):
        self.launch, self.place, self.shared, self.slots = launch, place, {}, {}
        self.threads = [Thread(number, at, self) for number, at in enumerate(launch.blockDim.places())]
        self.warps = [self.threads[i:i + WARP] for i in range(0, len(self.threads), WARP)]

    def run(self, function, args, order):
        self.scheduler = greenlet.getcurrent()

        def body():
            with np.errstate(all="ignore"):         # each greenlet has a setting of its own
                function(*args)
        for thread in self.threads:
            thread.greenlet = greenlet.greenlet(body)
        ready = list(self.threads)
        while ready:
            order.shuffle(ready)
            for thread in ready:
                thread.waits, self.launch.current = None, thread
                try:
                    thread.greenlet.switch()
                except Exception as error:
                    error.args = (f"{thread}: {error}",)
                    raise
            ready = self._released()

    def _released(self):
        """The threads that may go on: whole warps first, then the whole block; none when all have ended."""
        live = [t for t in self.threads if not t.greenlet.dead]
        found = []
        for warp in self.warps:
            waiting = [t for t in warp if not t.greenlet.dead and t.waits == "warp"]
            if waiting and all(t.greenlet.dead or t.waits == "warp" for t in warp):
                _check_together(waiting, WARP, "lanes of the warp")
                for t in waiting:
                    t.warp_barriers += 1
                found += waiting
        if found or not live:
            return found
        if any(t.waits == "warp" for t in live):
            raise BarrierDivergence(f"{self}: threads of one warp wait at {_places(live)}")
        _check_together(live, len(self.threads), "threads of the block")
        for t in live:
            t.barriers += 1
        return live

    def __str__(self):
        return f"block {(self.place.x, self.place.y, self.place.z)}"


def _places(threads):
    return " and ".join(sorted({f"{t.where[0]} line {t.where[1]}" for t in threads}))


def _check_together(waiting, expected, what):
    if len({t.where for t in waiting}) > 1:
        raise BarrierDivergence(f"{waiting[0].block}: threads wait at different barriers: {_places(waiting)}")
    if len(waiting) != expected:
        raise BarrierDivergence(f"{waiting[0].block}: {len(waiting)} of {expected} {what} wait at {_places(waiting)}")


class Launch:
    """One launch, and what a kernel sees of it under the name `cuda`."""

    def __init__(self, grid, block, shared_bytes):
        self.gridDim, self.blockDim, self.shared_bytes = grid, block, shared_bytes
        self.current = None                                 # the thread that runs
        self.shared, self.local = _Shared(self), _Local()

    @property
    def threadIdx(self):
        return self.current.place

    @property
    def blockIdx(self):
        return self.current.block.place

    def syncthreads(self):
        self.current.wait("block")

    def syncwarp(self, mask=0xFFFFFFFF):
        self.current.wait("warp")

    def exchange(self, value):
        """What the threads of the warp give, each its own: a list in the order of their lanes."""
        thread = self.current
        slot = thread.block.slots.setdefault((thread.warp, thread.exchanges), {})
        thread.exchanges += 1
        slot[thread.number % WARP] = value
        thread.wait("warp")
        return [slot[lane] for lane in range(WARP)]

    def shfl_xor_sync(self, mask, value, distance):
        lane = self.current.number % WARP
        return self.exchange(value)[lane ^ int(distance)]

    def shfl_sync(self, mask, value, lane):
        return self.exchange(value)[int(lane) % WARP]

    def shfl_down_sync(self, mask, value, distance):
        lane = self.current.number % WARP
        values = self.exchange(value)
        return values[lane + int(distance)] if lane + distance < WARP else value

    @staticmethod
    def fma(a, b, c):
        return np.float32(np.float64(a) * np.float64(b) + np.float64(c))

    def run(self, function, args, order):
        args = [Tracked(a, f"argument {k}", self) if isinstance(a, np.ndarray) else a for k, a in enumerate(args)]
        places = self.gridDim.places()
        order.shuffle(places)
        with swapped(self, function):
            for place in places:
                Block(self, place).run(function, args, order)


class _Shared:
    """`cuda.shared`: an array a block and call; those of size 0 are all the launch's own memory."""

    def __init__(self, launch):
        self.launch = launch

    def array(self, shape, dtype, alignment=None):
        block = self.launch.current.block
        frame = sys._getframe(1)
        key = (frame.f_code, frame.f_lasti) if shape != 0 else None
        if key not in block.shared:
            kind = np.dtype(getattr(dtype, "name", dtype))
            name = f"shared memory of {frame.f_code.co_name} line {frame.f_lineno}"
            size = shape if shape != 0 else self.launch.shared_bytes // kind.itemsize
            block.shared[key] = Tracked(poisoned(size, kind), name, self.launch, alignment or kind.itemsize)
        return block.shared[key]


class _Local:
    """`cuda.local`: an array of the thread's own."""

    @staticmethod
    def array(shape, dtype, alignment=None):
        return poisoned(shape, np.dtype(getattr(dtype, "name", dtype)))


@contextlib.contextmanager
def swapped(launch, function):
    """Within, the function and the kernels' modules see the launch under the name of numba.cuda."""
    spaces = [vars(module) for name, module in list(sys.modules.items()) if name.startswith("minicnn.kernels")]
    spaces.append(function.__globals__)
    found = [(space, name) for space in spaces for name, value in space.items() if value is real]
    for space, name in found:
        space[name] = launch
    try:
        yield
    finally:
        for space, name in found:
            space[name] = real


class Kernel:
    """Stands for a compiled kernel: `kernel[grid, block, stream, shared bytes](*args)`."""

    def __init__(self, function, seeds):
        self.function, self.seeds = function, seeds

    def __getitem__(self, configuration):
        grid, block, _, shared_bytes = (*configuration, 0, 0)[:4]

        def run(*args):
            Launch(Dim3.size(grid), Dim3.size(block), shared_bytes).run(self.function, args, random.Random(next(self.seeds)))

        return run


@contextlib.contextmanager
def installed(seed=0):
    """Within, kernels run here; the seed decides in which order threads and blocks do."""
    seeds, jit = itertools.count(1000 * seed), real.jit
    real.jit = lambda function: Kernel(function, seeds)
    try:
        yield
    finally:
        real.jit = jit
