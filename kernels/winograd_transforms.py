"""The three small matrices of Winograd's convolution on 16 channels at once, as register code.

A window of 6 products at the points 0, 1, -1, 2, -2 and infinity gives 4 outputs of a 3-tap filter, F(4, 3), or 3 outputs of a
4-tap filter, F(3, 4) (Lavin and Gray 2015, "Fast algorithms for convolutional neural networks"). With X the matrix whose
rows are those points' powers:

    pixels(d)       B^T d, 6 -> 6: what is multiplied, the same for both
    filter3(g)      G g,   3 -> 6: powers 0 .. 2, over the product of the distances to the other points (4, -6, -6, 24, 24, 1)
    filter4(g)      G g,   4 -> 6: powers 0 .. 3, likewise
    outputs4(m)     A^T m, 6 -> 4: powers 0 .. 3, summed over the points
    outputs3(m)     A^T m, 6 -> 3: powers 0 .. 2, likewise

Products and sums that could be contracted are written as fma, so that every processor gives the same bits.

In two dimensions each is applied to the rows and then to the columns. The first pass is made for one row a of the result
at a time, by `PIXEL_ROWS`, `FILTER3_ROWS` and `FILTER4_ROWS`: what row a takes from which rows.
"""
import numpy as np

from .jit import inlined
from .simd import fma

# Row a of B^T d is c0 d[r0] + c1 d[r1] + c2 d[r2] + d[r3]: here r0 .. r3 and c0 .. c2. Rows 0 and 5 have three terms only.
PIXEL_ROWS = np.array([[0, 2, 2, 4], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [1, 3, 3, 5]])
PIXEL_FACTORS = np.array([[4, -2, -3], [-4, -4, 1], [4, -4, -1], [-2, -1, 2], [2, -1, -2], [4, -2, -3]], np.float32)
FILTER3_ROWS = np.array([[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
                         [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]], np.float32)
FILTER4_ROWS = np.array([[1 / 4, 0, 0, 0], [-1 / 6, -1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6, 1 / 6],
                         [1 / 24, 1 / 12, 1 / 6, 1 / 3], [1 / 24, -1 / 12, 1 / 6, -1 / 3], [0, 0, 0, 1]], np.float32)


@inlined
def pixels(d0, d1, d2, d3, d4, d5):
    a, b, c, d = fma(d2, -4.0, d4), fma(d1, -4.0, d3), d4 - d2, d3 - d1
    return fma(d0, 4.0, fma(d2, -5.0, d4)), a + b, a - b, fma(d, 2.0, c), fma(d, -2.0, c), fma(d1, 4.0, fma(d3, -5.0, d5))


@inlined
def filter3(g0, g1, g2):
    a, b = (g0 + g2) * (-1 / 6), fma(g2, 4.0, g0) * (1 / 24)
    return g0 * 0.25, fma(g1, -1 / 6, a), fma(g1, 1 / 6, a), fma(g1, 1 / 12, b), fma(g1, -1 / 12, b), g2


@inlined
def filter4(g0, g1, g2, g3):
    a, b, c, d = (g0 + g2) * (-1 / 6), g1 + g3, fma(g2, 4.0, g0) * (1 / 24), fma(g3, 4.0, g1)
    return g0 * 0.25, fma(b, -1 / 6, a), fma(b, 1 / 6, a), fma(d, 1 / 12, c), fma(d, -1 / 12, c), g3


@inlined
def outputs4(m0, m1, m2, m3, m4, m5):
    a, b, c, d = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return m0 + a + c, fma(d, 2.0, b), fma(c, 4.0, a), fma(d, 8.0, b) + m5


@inlined
def outputs3(m0, m1, m2, m3, m4, m5):
    a, b, c, d = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return m0 + a + c, fma(d, 2.0, b), fma(c, 4.0, a) + m5
