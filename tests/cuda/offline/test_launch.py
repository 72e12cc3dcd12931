"""The launch layer where there is no GPU: nothing is compiled before it is launched, and more shared memory is asked for."""
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from cuda_cases import kernel

from minicnn.kernels.cuda_support import launch
from minicnn.kernels.cuda_support.spec import KernelSpec


def test_numpy_arrays_are_not_copied_to_the_gpu_behind_ones_back():
    with pytest.raises(TypeError, match=r"relu_forward: x must lie on the GPU: numba.cuda.to_device\(x\)"):
        kernel("relu_forward")(np.zeros(3, np.float32), np.zeros(3, np.float32))


def test_importing_and_planning_need_no_driver(tmp_path):
    code = ("import numpy as np; from minicnn.kernels import batchnorm_cuda\n"
            "x = np.zeros((2, 3, 3, 4), np.float32)\n"
            "print(len(batchnorm_cuda.batchnorm_statistics.plan(x, *np.zeros((3, 4), np.float32))))")
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "NUMBA_CUDA_DRIVER": str(tmp_path / "libcuda.so")},
                          capture_output=True, text=True)
    assert done.stdout.strip() == "4", done.stderr


@pytest.mark.parametrize("size, asked", [(0, []), (48 * 1024, []), (48 * 1024 + 16, [48 * 1024 + 16]), (200_000, [200_000])])
def test_more_than_48_kb_of_shared_memory_must_be_asked_for(size, asked, monkeypatch):
    from numba.cuda.cudadrv import driver

    calls = []
    function = types.SimpleNamespace(handle="handle", device=types.SimpleNamespace(id=0))
    overload = types.SimpleNamespace(_codelibrary=types.SimpleNamespace(get_cufunc=lambda: function))
    monkeypatch.setattr(launch, "jit", lambda *args: types.SimpleNamespace(overloads={(): overload}))
    monkeypatch.setattr(driver, "driver", types.SimpleNamespace(cuKernelSetAttribute=lambda *args: calls.append(args)))
    launch.compiled(KernelSpec(lambda: None, "void()", 32, shared_bytes=size))
    attribute = driver.binding.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    assert calls == [(attribute, n, "handle", 0) for n in asked]
