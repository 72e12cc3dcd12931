"""The simulator's tests: small blocks, so that small shapes fill several of them."""
import pytest

from minicnn.kernels.cuda_support import _compat, blocks

assert _compat.SIMULATOR, "run these tests by tests/test_cuda.py, or with NUMBA_ENABLE_CUDASIM=1"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    for name, number in {"ELEMENTS": 32, "ROWS": 64, "SUMS": 64, "SUM_ROWS": 2, "SUM_PARTS": 6}.items():
        monkeypatch.setattr(blocks, name, number)
