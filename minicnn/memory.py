"""Memory for activations and gradients: used again as soon as nobody refers to it.

Training asks for the same few shapes thousands of times. Fresh memory from the system costs a page fault every 4 KiB, more
than a small layer's arithmetic, and is cold; so each worker of the engine keeps the buffers it has asked for and hands one
out again when the last array on top of it is gone. That is read off the buffer's reference count: nothing has to be
released by hand, a cache that backward still holds is never overwritten, and an array that a user keeps stays theirs.
"""
import itertools
import math
import sys
import threading

import numpy as np

SMALL = 1 << 12             # bytes; below, NumPy's own cache of small blocks does as well
REMEMBERED = 2000           # arrays asked for; a training step of the larger nets asks for a few hundred
LINE = 64                   # bytes of a cache line, which arrays start at, so that vectors do not lie across two

_active = threading.local()


class Pool:
    """The buffers of one worker. others: the other workers' pools, looked into before new memory is taken.

    keep: no buffer is ever let go, and small arrays are taken from here too: for a recording, which owns all it has used.
    """

    def __init__(self, others: "list[Pool] | tuple" = (), keep: bool = False):
        self.keep = keep
        self.buffers: dict[int, list[list]] = {}        # bytes -> [buffer, first byte used, time of last use]
        self.others = others
        self.lock = threading.Lock()
        self.time = 0                                   # arrays asked for so far

    def empty(self, shape: tuple[int, ...], dtype) -> np.ndarray:
        """An array of this shape with arbitrary values."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size < SMALL and not self.keep:
            return np.empty(shape, dtype)
        self.time += 1
        for pool in (self, *self.others):
            with pool.lock:
                found = _first_free(pool.buffers.get(size, ()), _FREE)
                if found is not None:
                    found[2] = pool.time
                    return np.ndarray(shape, dtype, found[0], found[1])     # refers to the buffer, as do all views of it
        buffer = np.empty(size + LINE, np.uint8)
        offset = -buffer.ctypes.data % LINE
        with self.lock:
            self._forget()
            self.buffers.setdefault(size, []).append([buffer, offset, self.time])
        return np.ndarray(shape, dtype, buffer, offset)

    def holds(self, array: np.ndarray) -> bool:
        """Whether an array lies in a buffer of this pool."""
        while isinstance(array.base, np.ndarray):
            array = array.base
        return any(entry[0] is array for buffers in self.buffers.values() for entry in buffers)

    def _forget(self) -> None:
        """Lets go of the buffers that nobody has asked for in a long time: other batch sizes, other images."""
        if self.keep:
            return
        for size, buffers in list(self.buffers.items()):
            kept = [entry for entry in buffers if entry[2] > self.time - REMEMBERED]
            if kept:
                self.buffers[size] = kept
            else:
                del self.buffers[size]


def _first_free(buffers, free: int) -> list | None:
    for entry in buffers:
        if sys.getrefcount(entry[0]) <= free:
            return entry
    return None


# The reference count that _first_free sees of a buffer in no use, found by trying: versions of Python count differently.
_FREE = next(count for count in itertools.count(1) if _first_free([[np.empty(1, np.uint8), 0, 0]], count))


class using:  # noqa: N801 (a block, not a thing)
    """Within the block, `empty` on this thread takes from the pool."""

    def __init__(self, pool: Pool):
        self.pool = pool

    def __enter__(self):
        self.outer, _active.pool = getattr(_active, "pool", None), self.pool

    def __exit__(self, *_):
        _active.pool = self.outer


def empty(shape: tuple[int, ...], dtype) -> np.ndarray:
    """An array for an activation or a gradient, its values arbitrary: from this thread's pool where there is one."""
    pool = getattr(_active, "pool", None)
    return np.empty(shape, dtype) if pool is None else pool.empty(shape, dtype)
