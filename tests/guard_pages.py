"""Arrays that begin or end at a page nobody may touch, and calls in forked children: one byte too far is a death.

An ordinary array has readable neighbours, so a kernel that reads past its end gives the right answer. Here the
neighbour is a page without any rights: the processor itself stops the access, and the parent sees SIGSEGV.
"""
import ctypes
import faulthandler
import mmap
import os
import signal
import struct

import numpy as np

PAGE = mmap.PAGESIZE
PROT_NONE = 0
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


def _protect(address, length, rights):
    if _libc.mprotect(address, length, rights):
        raise OSError(ctypes.get_errno(), "mprotect")


class Guarded:
    """A copy of an array between two forbidden pages, flush with the one on the given side ("start" or "end").

    The rest of its own pages is filled with 0xCB. `array` is valid as long as this object is.
    """

    def __init__(self, values, side):
        self.body = max(PAGE, -(-values.nbytes // PAGE) * PAGE)
        self.map = mmap.mmap(-1, self.body + 2 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        start = PAGE if side == "start" else PAGE + self.body - values.nbytes
        np.frombuffer(self.map, np.uint8, self.body, PAGE)[...] = 0xCB
        self.array = np.frombuffer(self.map, values.dtype, values.size, start).reshape(values.shape)
        self.array[...] = values
        self.slack = slice(PAGE + values.nbytes, PAGE + self.body) if side == "start" else slice(PAGE, start)
        _protect(self.base, PAGE, PROT_NONE)
        _protect(self.base + PAGE + self.body, PAGE, PROT_NONE)

    def forbid_writing(self):
        """From now on a write to the array is a death, although its flags allow it."""
        _protect(self.base + PAGE, self.body, mmap.PROT_READ)

    def neighbours_are_untouched(self):
        """Whether the bytes between the array and the other forbidden page are as they were."""
        return self.map[self.slack] == b"\xcb" * (self.slack.stop - self.slack.start)


def deaths(cases, action):
    """Runs action(case) for each case in a forked child; [(case, what happened)] of those that died or raised.

    A child goes through the cases until it dies, and the next one goes on behind: a crash costs one fork. Whatever the
    action runs must be compiled before, since a child of a process with threads may only run what is there.
    """
    cases, found, at = list(cases), [], mmap.mmap(-1, 8)
    first = 0
    while first < len(cases):
        at[:] = struct.pack("q", first)
        child = os.fork()
        if child == 0:
            _sweep(cases, first, action, at)
        status = os.waitpid(child, 0)[1]
        if status == 0:
            break
        reached = struct.unpack("q", at[:])[0]
        what = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
        found.append((cases[reached], what))
        first = reached + 1
    return found


def _sweep(cases, first, action, at):
    """The life of a child; never returns."""
    code = 1
    try:
        faulthandler.disable()          # pytest's would print a traceback for each death
        for i in range(first, len(cases)):
            at[:] = struct.pack("q", i)
            action(cases[i])
        code = 0
    except AssertionError:
        code = 3
    finally:
        os._exit(code)
