"""A few kernels in Numba's own simulator, operating system's threads and all: a second opinion on our own."""
import numpy as np
import pytest
from cuda_cases import kernel, shapes
from kernel_cases import build
from numba import cuda
from test_kernels import run_cuda

from minicnn import kernels


@pytest.mark.parametrize("name", ["leaky_relu_forward", "adamw_update", "avgpool2d_backward", "dropout_forward"])
def test_the_same_bits_in_both_simulators(name):
    args, spec = build(name, shapes(name)[0 if "update" in name else 1], integers=False), kernels.SPECS[name]
    expected = run_cuda(name, args)
    given = [cuda.to_device(a) if isinstance(a, np.ndarray) else a for a in args]
    kernel(name)(*given)
    for array, value in zip(spec.arrays, given, strict=False):
        if array.output:
            assert value.copy_to_host().tobytes() == expected[array.name].tobytes(), array.name
