"""NumPy's BLAS on one thread, for the reference column; its pool would else spin on beside the next contender."""
from __future__ import annotations

import ctypes
import functools
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def one_thread():
    """Within the block BLAS computes on one thread, where it can be told; yields the threads that it may use then."""
    library = _openblas()
    if library is None:
        from ..machine import usable_cores

        yield usable_cores()
        return
    before = library.scipy_openblas_get_num_threads64_()
    library.scipy_openblas_set_num_threads64_(1)
    try:
        yield 1
    finally:
        library.scipy_openblas_set_num_threads64_(before)


@functools.cache
def _openblas():
    """The OpenBLAS that came with NumPy's wheel, loaded already; None where NumPy stands on something else."""
    place = Path(np.__file__).parent
    for folder in (place.parent / "numpy.libs", place / ".dylibs"):
        for path in sorted(folder.glob("libscipy_openblas64_*")):
            try:
                library = ctypes.CDLL(str(path))
                library.scipy_openblas_get_num_threads64_, library.scipy_openblas_set_num_threads64_     # noqa: B018
                return library
            except (OSError, AttributeError):
                continue
    return None
