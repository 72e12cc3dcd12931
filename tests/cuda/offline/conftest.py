"""The compiler's tests: the real numba.cuda, no GPU."""
from minicnn.kernels.cuda_support import _compat

assert not _compat.SIMULATOR, "run these tests by tests/test_cuda.py, or without NUMBA_ENABLE_CUDASIM"
