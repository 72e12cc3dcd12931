"""Ctrl-C without loss: the first signal asks, the second insists.

    with Interruption() as interruption:
        for batch in batches:
            trainer.step(...)
            if interruption.wanted:
                save and leave

SIGINT, SIGTERM and SIGHUP only raise a flag at first, so a step or a save is never cut in two by an exception. A second
signal raises KeyboardInterrupt at once; files stay whole even then, because they are written atomically (atomic.py).
"""

import signal
import sys
import threading
from contextlib import suppress

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal and can go on. `folder`: the run's."""

    def __init__(self, message: str, folder):
        super().__init__(message)
        self.folder = folder


class Interruption:
    """Context manager; `.wanted` is the name of the signal that came, or None. Does nothing outside the main thread."""

    def __init__(self):
        self.wanted: str | None = None
        self._previous: dict = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's SIGHUP stays ignored
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number, frame) -> None:
        if self.wanted is not None:
            raise KeyboardInterrupt
        self.wanted = signal.Signals(number).name
        with suppress(OSError, ValueError):  # the terminal may be gone: that is what SIGHUP says
            sys.stderr.write("minicnn: stopping after this step, once its kernels are compiled; a second Ctrl-C stops now\n")
