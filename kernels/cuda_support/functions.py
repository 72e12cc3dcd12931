"""exp, log, sqrt, erf, tanh of float32 as the GPU's own library has them; in the simulator as float64 has them, rounded.

Numba takes the functions of `math` for float32 numbers to that library: expf, logf, tanhf, erfcf are off by 2 to 4 units
in the last place at most (CUDA C++ programming guide, mathematical functions), sqrt and division are rounded correctly.
The twins know no OverflowError: exp(1000) is infinity there, too.
"""
import math

import numpy as np

from ._compat import SIMULATOR

if SIMULATOR:
    def _rounded(function):
        return lambda x: np.float32(function(np.float64(x)))

    exp, log, sqrt, tanh = map(_rounded, (np.exp, np.log, np.sqrt, np.tanh))
    erfc = _rounded(math.erfc)
else:
    from math import erfc, exp, log, sqrt, tanh  # noqa: F401
