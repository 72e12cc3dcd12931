"""The SIMD vocabulary of the cpu column: the only place where raw memory is touched.

A `Vec` is 16 float32 lanes, an `Ints` 16 int32 lanes, a `Mask` 16 truth values; a `Tile` is m x nv vectors of accumulators
that the compiler keeps in registers. 16 lanes are one AVX-512 register, two AVX registers, four SSE or NEON ones: the
lanes of a sum do not change with the machine.

    load(a, i)   load_tail(a, i, n)    store(a, i, v)   store_tail(a, i, v, n)      float32 arrays
    load_bytes(a, i, n)   store_bytes(a, i, v, n)                                   uint8 arrays, Ints
    address(a): a float32 array as a number, which these words and the tiles take in place of it; cheaper to hand on
    flat(a, i): an array's elements from flat index i on, as an array of one axis; slices and reshape take long to compile
    not_inlined(): the function it stands in is always called
        a is a C-contiguous array with any number of axes, i a flat index into it; with n the lanes n.. are not touched
        in memory (n >= 16 touches all) and load as 0.
    splat(s)   splat_int(k)   v + w   v - w   v * w   v / w   -v   fma(v, w, u) = v * w + u, rounded once   sqrt(v)
    below(n): the lanes 0 .. n-1   less(v, w)   less_equal(v, w)   equal(i, k)   isnan(v)   both(p, q)   either(p, q)
    invert(p)   where(p, v, w)   to_int(v)   to_float(i)   bits(v)   from_bits(i)
    i + k   i - k   i & k   i << k   i >> k                                         k is an int
    sum_lanes(v)   max_lanes(v): NaN when a lane is NaN
    tile_zeros(m, nv)   tile_fma(t, a, i, rows, b, j, n)   tile_add(t, a, i, step, n)   tile_store(t, a, i, step, n)
    row_steps(step)   tile_relu(t)   tile_load(m, nv, a, i, step)   tile_axpy(t, s, a, i, step)   tile_scatter(t, s, a, i, step)
        t[r, c] for r < m, c < nv: vector c of row r; rows lie `step` elements apart in memory; n lanes of the last
        vector of each row exist. tile_fma: t[r, c] += a[i + r * step] * b[j + 16 c :][:16], the rank-1 update all
        contractions are made of, with rows = row_steps(step); n may be None: full vectors. tile_axpy: t += s * what lies at
        the tile's place in a; tile_scatter: what lies there += s * t. Both, and tile_load, move full vectors.

Where an operand may be a number, it is spread over the lanes. Nothing here checks bounds: `jit.py` puts a compiled check
in front of each kernel, and the tests run the kernels on arrays that end at a protected page. With NUMBA_DISABLE_JIT=1
the same names are plain NumPy (simd_python.py), so that a kernel can be stepped through in a debugger.
"""
from numba import config

LANES = 16

if config.DISABLE_JIT:
    from .simd_python import *  # noqa: F403
else:
    from .simd_llvm import *  # noqa: F403
    from .simd_tiles import *  # noqa: F403
