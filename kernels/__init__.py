"""Functions on arrays: convolution, pooling, dense, activations, norms, losses, updates; one table, several columns.

| letter | axis                   | array           | layout                            |
|--------|------------------------|-----------------|-----------------------------------|
| N      | images of a batch      | x, dx           | (N, H, W, C), C-contiguous        |
| H, W   | input height, width    | w, dw (conv)    | (R, S, C, K)                      |
| C      | input channels         | w, dw (dense)   | (C, K)                            |
| R, S   | filter height, width   | b, db           | (K,)                              |
| P, Q   | output height, width   | y, dy           | (N, P, Q, K)                      |
| K      | output channels        | labels          | (N,) int64                        |
| E      | elements of one image  | mask            | (N, E) uint8                      |

A capital letter is an extent, the small letter its index; `d` in front of a name is the gradient of the loss by it. Each
kernel has the same name and parameters in every column: `reference` (NumPy, the formula, any float type) and `cpu`
(Numba, explicit SIMD, float32). HOWTO.md states what each computes. Importing this package loads no column.
"""
from .dispatch import COLUMNS, KERNELS, Refused, exact, function, get, recording, replaced, use
from .table import SPECS

__all__ = ["COLUMNS", "KERNELS", "SPECS", "Refused", "exact", "function", "get", "recording", "replaced", "use"]
