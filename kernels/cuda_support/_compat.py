"""The only place that imports numba.cuda, and what its versions and its simulator want to be told.

SIMULATOR says whether this process runs kernels in Python (NUMBA_ENABLE_CUDASIM=1, set before the first import of Numba).
"""
import numpy as np
from numba import config, cuda, float32, int32, int64, types, uint8, uint32, uint64

__all__ = ["SIMULATOR", "cuda", "device", "float32", "int32", "int64", "jit", "types", "uint8", "uint32", "uint64"]

SIMULATOR = bool(config.ENABLE_CUDASIM)

if not SIMULATOR and not hasattr(np, "row_stack"):
    np.row_stack = np.vstack            # NumPy 2.5 dropped it, and numba-cuda 0.30 asks for it at every compilation


def device(function):
    """A function that kernels call: compiled into them on its first use; in the simulator it stays as it is."""
    return function if SIMULATOR else cuda.jit(device=True, forceinline=True)(function)


def jit(function, signature, launch_bounds):
    """A compiled kernel; the simulator knows neither signatures nor launch bounds."""
    return cuda.jit(function) if SIMULATOR else cuda.jit(signature, launch_bounds=launch_bounds)(function)
