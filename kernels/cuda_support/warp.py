"""What the 32 threads of a warp find together; each of them gets the result, and the order of the sum is always the same.

A butterfly: after step d each thread has the sum of the 2 d threads that differ from it in the bits up to d.
The whole warp must take part.
"""
from ._compat import cuda, device, int32

ALL = 0xFFFFFFFF


@device
def warp_sum(value):
    """The sum over the warp."""
    value += cuda.shfl_xor_sync(ALL, value, int32(16))
    value += cuda.shfl_xor_sync(ALL, value, int32(8))
    value += cuda.shfl_xor_sync(ALL, value, int32(4))
    value += cuda.shfl_xor_sync(ALL, value, int32(2))
    value += cuda.shfl_xor_sync(ALL, value, int32(1))
    return value


@device
def larger(a, b):
    """The larger of two numbers, or NaN where one is."""
    return a if a > b or a != a else b


@device
def warp_maximum(value):
    """The largest of the warp, or NaN where there is one."""
    value = larger(value, cuda.shfl_xor_sync(ALL, value, int32(16)))
    value = larger(value, cuda.shfl_xor_sync(ALL, value, int32(8)))
    value = larger(value, cuda.shfl_xor_sync(ALL, value, int32(4)))
    value = larger(value, cuda.shfl_xor_sync(ALL, value, int32(2)))
    value = larger(value, cuda.shfl_xor_sync(ALL, value, int32(1)))
    return value
