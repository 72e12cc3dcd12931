"""Arrays that remember who touched what: the race detector of the simulator.

Two accesses to one element race when they come from different threads, at least one of them writes, and nothing orders
them. Threads of a block are ordered by a barrier of the block, those of a warp also by one of the warp, threads of
different blocks by nothing. An element keeps its last writer and its readers since; a write that races with neither comes
after all of them, so nothing older has to be kept (FastTrack, Flanagan & Freund 2009).
"""
import numpy as np


class RaceError(RuntimeError):
    """Two threads and one element, in an order that nobody has decided."""


def poisoned(shape, dtype):
    """Memory that nobody has written: all bits are ones, NaN in floats."""
    array = np.empty(shape, dtype)
    array.view(np.uint8)[...] = 0xFF
    return array


class Tracked:
    """An array whose elements are read and written by one thread at a time, and which no index may leave."""

    alignment = 16          # bytes

    def __init__(self, array, name, launch, alignment=16):
        self.array, self.name, self.launch, self.alignment = array, name, launch, alignment
        self.shape, self.ndim, self.size, self.dtype = array.shape, array.ndim, array.size, array.dtype
        self.writers, self.readers = {}, {}         # index -> access, index -> thread -> access

    def __getitem__(self, index):
        index = self._checked(index)
        me = self._access()
        self._ordered(self.writers.get(index), me, index, "reads", "wrote")
        self.readers.setdefault(index, {})[me[0]] = me
        return self.array[index]

    def __setitem__(self, index, value):
        index = self._checked(index)
        me = self._access()
        self._ordered(self.writers.get(index), me, index, "writes", "wrote")
        for other in self.readers.pop(index, {}).values():
            self._ordered(other, me, index, "writes", "read")
        self.writers[index] = me
        self.array[index] = value

    def _access(self):
        thread = self.launch.current
        return id(thread), thread, thread.barriers, thread.warp_barriers

    def _checked(self, index):
        index = tuple(map(int, index)) if isinstance(index, tuple) else (int(index),)
        if len(index) != self.ndim or not all(0 <= i < extent for i, extent in zip(index, self.shape, strict=True)):
            raise IndexError(f"{self.name}: index {index} is outside of {self.shape}")
        return index

    def _ordered(self, other, me, index, does, did):
        """Raises RaceError where nothing orders two accesses."""
        if other is None or other[0] == me[0]:
            return
        (_, thread, barriers, warp_barriers), (_, before, barriers_before, warp_before) = me, other
        if thread.block is before.block and (barriers != barriers_before
                                             or (thread.warp == before.warp and warp_barriers != warp_before)):
            return
        raise RaceError(f"{self.name}[{', '.join(map(str, index))}]: {thread} {does} what {before} {did}, no barrier between")
