"""Dense layer on the GPU: a convolution of one tap on pictures of one pixel. See dense_reference.py for the formulas.

    x (N, C) is (N, 1, 1, C),   w (C, K) is (1, 1, C, K),   y (N, K) is (N, 1, 1, K)
"""
from .conv2d_cuda import backward_input, backward_weight, forward
from .cuda_support.geometry import Geometry
from .cuda_support.kernel import cuda_kernel


@cuda_kernel
def dense_forward(x, w, b, y):
    """x (N,C), w (C,K), b (K,) -> y (N,K)."""
    return forward(x, w, b, y, Geometry.dense(*w.shape))


@cuda_kernel
def dense_backward_input(dy, w, dx):
    """dy (N,K), w (C,K) -> dx (N,C)."""
    return backward_input(dy, w, dx, Geometry.dense(*w.shape))


@cuda_kernel
def dense_backward_weight(x, dy, dw, db):
    """x (N,C), dy (N,K) -> dw (C,K), db (K,)."""
    return backward_weight(x, dy, dw, db, Geometry.dense(*dw.shape))
