"""The cuda column's tests, in processes of their own: which world kernels live in is decided by the first import of Numba.

    tests/cuda/simulator    kernels run thread by thread in Python                         NUMBA_ENABLE_CUDASIM=1
    tests/cuda/offline      kernels are compiled for GPUs that need not be there
"""
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDS = {"simulator": ("greenlet",), "offline": ("numba_cuda", "cuda.core", "nvidia")}


def available(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("folder", NEEDS)
def test_folder(folder):
    missing = [module for module in NEEDS[folder] if not available(module)]
    if missing:
        pytest.skip(f"tests/cuda/{folder} needs {', '.join(missing)}: pip install minicnn-numba[test-cuda]")
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    environment |= {"NUMBA_ENABLE_CUDASIM": "1"} if folder == "simulator" else {}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/cuda/{folder}"],
                          cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_library_does_not_touch_cuda():
    """Not numba.cuda, nor what stands in for it, nor our own folder; the hook of numba-cuda's package is there from the start."""
    names = ("numba.cuda", "numba_cuda", "cuda", "minicnn.kernels.cuda_support")
    code = f"import sys, minicnn, minicnn.kernels; print([m for m in sys.modules if m.startswith({names})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
