"""exp, log, tanh and erf of 16 lanes at once, within 2 units in the last place of the exact value.

Each brings its argument into a short interval and evaluates a polynomial there. The coefficients are minimax fits (Lawson's
iteration on 4,000 Chebyshev nodes, then rounded to float32); the largest error of each fit stands beside it. The steps of
reduction are those of W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980): ln 2 is split in two
parts, so that n * ln 2 is subtracted without rounding. NaN comes through everywhere.
"""
from .jit import helper
from .simd import bits, either, equal, fma, from_bits, isnan, less, less_equal, to_float, to_int, where

LOG2_E = 1.44269504
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4          # ln 2 in two parts; the first has 10 bits
ROUNDING = 12582912.0                                    # 1.5 * 2^23: adding it leaves an integer in the low bits


@helper
def power_of_two(n):
    """2^n for integers -126 <= n <= 127 (Ints), by writing the exponent's bits."""
    return from_bits((n + 127) << 23)


@helper
def exp(x):
    """e^x = 2^n e^r, n = round(x / ln 2), |r| <= ln 2 / 2; e^r = 1 + r + r^2 p(r), error 5e-11."""
    bounded = where(less(x, -104.0), -104.0, where(less(89.0, x), 89.0, x))
    n = fma(bounded, LOG2_E, ROUNDING) - ROUNDING
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, bounded))
    p = fma(fma(1.991710451e-4, r, 1.394728431e-3), r, 8.333266713e-3)
    p = fma(fma(fma(p, r, 4.16662544e-2), r, 1.666666716e-1), r, 0.5)
    value = fma(p, r * r, r) + 1.0
    whole = to_int(where(isnan(n), 0.0, n))
    half = whole >> 1                                    # two factors: 2^n alone leaves the range before the product does
    return value * power_of_two(half) * power_of_two(whole - half)


@helper
def log(x):
    """ln x = n ln 2 + ln m, sqrt(1/2) <= m < sqrt(2); ln(1 + f) = f - f^2 / 2 + f^3 p(f), error 8e-10."""
    small = less(x, 1.17549435e-38)                      # subnormal: scale up first
    scaled = where(small, x * 8388608.0, x)
    shifted = bits(scaled) - 0x3F3504F3                  # the bits of sqrt(1/2): exponent rounded so that m is near 1
    n = to_float(shifted >> 23) - where(small, 23.0, scaled - scaled)
    f = from_bits((shifted & 0x7FFFFF) + 0x3F3504F3) - 1.0
    p = fma(fma(fma(6.925670058e-2, f, -1.180782244e-1), f, 1.18779853e-1), f, -1.238181591e-1)
    p = fma(fma(fma(p, f, 1.421770602e-1), f, -1.666935533e-1), f, 2.000227422e-1)
    p = fma(fma(p, f, -2.49999851e-1), f, 3.333331048e-1)
    square = f * f
    value = fma(n, LN2_HIGH, fma(n, LN2_LOW, fma(square, -0.5, p * square * f)) + f)
    value = where(equal(bits(x), 0x7F800000), x, value)                          # ln inf = inf
    value = where(less_equal(x, 0.0), where(less(x, 0.0), x * 0.0 / (x * 0.0), -1.0 / (x * x)), value)
    return where(isnan(x), x, value)


@helper
def tanh(x):
    """x + x^3 p(x^2) below 0.625, error 7e-9; else 1 - 2 / (e^(2|x|) + 1) with the sign of x."""
    size, z = where(less(x, 0.0), -x, x), x * x
    p = fma(fma(fma(-5.528597161e-3, z, 2.048327774e-2), z, -5.369295552e-2), z, 1.333089918e-1)
    near = fma(fma(p, z, -3.33332628e-1) * z, x, x)
    far = 1.0 - 2.0 / (exp(size + size) + 1.0)
    return where(less(size, 0.625), near, where(less(x, 0.0), -far, far))


@helper
def erf(x):
    """x + x p(x^2) below 1, error 2e-9; else 1 - e^q(|x|) with the sign of x, q = ln erfc, error 3e-11 of erfc; 1 from 4 on."""
    size, z = where(less(x, 0.0), -x, x), x * x
    p = fma(fma(fma(7.889109111e-5, z, -8.020838141e-4), z, 5.189535208e-3), z, -2.68544443e-2)
    near = fma(x, fma(fma(fma(p, z, 1.128360033e-1), z, -3.761262596e-1), z, 1.28379167e-1), x)
    t = where(less(size, 4.0), size, 4.0)
    q = fma(fma(fma(-2.149632746e-5, t, 4.391087277e-4), t, -4.193622153e-3), t, 2.517899498e-2)
    q = fma(fma(fma(fma(q, t, -1.083725169e-1), t, -6.332625747e-1), t, -1.129556894), t, 1.834475988e-4)
    far = 1.0 - exp(q)
    return where(either(less(size, 1.0), isnan(x)), near, where(less(x, 0.0), -far, far))
