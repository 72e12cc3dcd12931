"""From a specification to a kernel that runs: compiled at its first launch, then launched as often as one likes.

A `Launch` is a kernel with its grid and arguments. It is bound once, when a net is built, and costs little after that:
arrays are flattened and Numba's launcher is made the first time only.
"""
import functools

import numpy as np

from ._compat import SIMULATOR, cuda, jit
from .spec import KernelSpec

PLAIN_SHARED = 48 * 1024        # bytes that every launch may have; more must be asked for, kernel by kernel


class Launch:
    """One kernel on a grid of blocks with its arguments: arrays (flattened), and numbers as NumPy scalars."""

    def __init__(self, spec: KernelSpec, grid: tuple[int, ...], *args):
        self.spec, self.grid = spec, grid
        self.args = tuple(flat(arg) if hasattr(arg, "shape") and arg.shape else arg for arg in args)

    @functools.cached_property
    def bound(self):
        """Numba's launcher for this grid."""
        return compiled(self.spec)[self.grid, self.spec.block, 0, self.spec.shared_bytes]

    def __call__(self):
        if 0 not in self.grid:          # a batch without images: nothing to do, and CUDA refuses empty grids
            self.bound(*self.args)


def flat(array):
    """The same elements with one axis."""
    return array if array.ndim == 1 else array.reshape(array.size)


def compiled(spec: KernelSpec):
    """The compiled kernel."""
    return jit(spec.function, spec.signature, spec.launch_bounds) if SIMULATOR else _compiled(spec)


@functools.cache
def _compiled(spec):
    kernel = jit(spec.function, spec.signature, spec.launch_bounds)
    if spec.shared_bytes > PLAIN_SHARED:
        allow_shared(kernel, spec.shared_bytes)
    return kernel


def allow_shared(kernel, size: int) -> None:
    """Let a kernel have more than 48 KB of shared memory; numba-cuda has no word for it, and this is what its driver calls."""
    from numba.cuda.cudadrv import driver

    attribute = driver.binding.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    for overload in kernel.overloads.values():
        function = overload._codelibrary.get_cufunc()
        driver.driver.cuKernelSetAttribute(attribute, size, function.handle, function.device.id)


def scratch(beside, size: int):
    """Memory for a kernel's intermediate sums, where `beside` lies: allocated once, with the launch that is bound."""
    return np.full(size, np.nan, np.float32) if isinstance(beside, np.ndarray) else cuda.device_array(size, np.float32)
