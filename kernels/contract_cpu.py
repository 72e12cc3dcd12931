"""The one contraction behind convolution and dense layers, in all directions: a strided sum of rank-1 updates.

    out[n, o, i, k] = sum over t, u, v of a[n, o, i, t, u, v] * b[o, t, u, v, k]  +  start[n, o, i, k]

a, start and out are flat arrays that each index moves through with a step of its own; columns k are contiguous.

    direction         n       o    i                 t       u           v
    conv forward      image   p    q                 -       r           (s, c), one run of memory
    conv backward-    image   h    w                 -       r           (s, k), of the flipped filter
    input, gathered
    scattered         -       -    (p, q)            -       -           k; columns: (r, s, c)
    conv backward-    -       r    (s, c), one run   image   p           q
    weight            -       r    k                 image   p           q      columns: (s, c), where K is small
    dense forward     -       -    image             -       -           c
    dense backward-   -       -    image             -       -           k; columns: c
    input
    dense backward-   -       -    c                 -       -           image
    weight

A tile of m rows i and nv vectors of columns k stays in registers through the whole sum: 14 x 2 accumulators + 2 vectors
of b + 1 spread value of a = 31 of the 32 registers of AVX-512; 6 x 1 tiles of 16 lanes are 12 of the 16 of AVX2. Any m up
to the largest has a compiled tile, and M rows are cut into nearly equal parts, so no row is computed twice or in vain.
Columns come in panels of PANEL; b may be packed so that a panel is one run of memory (`pack` in conv2d_cpu.py), which
keeps its rows from falling into the same sets of the first-level cache. Each element of out is one chain of fused
multiply-adds over t, u, v in order, from 0, start is added last, and then comes ReLU, where it is wanted: how the tiles
are cut never changes a bit.
"""
from numba import njit, types

from .host import WIDE
from .jit import OPTIONS, helper, linked
from .simd import LANES, address, not_inlined, row_steps, tile_add, tile_fma, tile_relu, tile_store, tile_zeros

ROWS, VECTORS = (14, 2) if WIDE else (6, 1)
PANEL = LANES * VECTORS


# Masks have registers of their own in AVX-512 only: in AVX2 two of them push two sums out of the registers and into memory, in
# every turn of the loop, so full vectors have tiles without.
_NUMBERS = ("a, b, start, out, ia, ib, istart, iout, sum_t, sum_u, sum_v, at, au, av, bt, bu, bv, "
            "step_a, step_start, step_out, tail, relu")
_TILE = """def tile({numbers}):
    not_inlined()
    acc, rows = tile_zeros({m}, {nv}), row_steps(step_a)
    for t in range(sum_t):
        for u in range(sum_u):
            first_a, first_b = ia + t * at + u * au, ib + t * bt + u * bu
            for v in range(sum_v):
                acc = tile_fma(acc, a, first_a + v * av, rows, b, first_b + v * bv, {lanes})
    acc = tile_add(acc, start, istart, step_start, tail)
    tile_store(tile_relu(acc) if relu else acc, out, iout, step_out, tail)"""
_WORDS = dict(__name__=__name__, PANEL=PANEL, not_inlined=not_inlined, row_steps=row_steps, tile_add=tile_add, tile_fma=tile_fma,
              tile_relu=tile_relu, tile_store=tile_store, tile_zeros=tile_zeros)


def _written(source, name, words):
    """The function of this name in the source text."""
    scope = dict(words)
    exec(source, scope)
    return scope[name]


def _chooser(nv, lanes):
    """A function that calls the tile of the given height. lanes: those of b's last vector that may be read; None: all.

    The tiles are functions of their own and take addresses: written out in one place, LLVM kept the numbers of all of them at
    hand at once, on the stack, which cost 300 cycles a tile, the time of 50 steps; as arguments, arrays cost as much.
    """
    tiles = {f"tile{m}": helper(_written(_TILE.format(numbers=_NUMBERS, m=m, nv=nv, lanes=lanes), "tile", _WORDS))
             for m in range(1, ROWS + 1)}
    lines = [f"def choose(height, {_NUMBERS}):"] + [f"    if height == {m}: tile{m}({_NUMBERS})" for m in range(1, ROWS + 1)]
    return njit(inline="always", **OPTIONS)(_written("\n".join(lines), "choose", tiles))


_FULL, _NARROW = _chooser(VECTORS, "tail" if WIDE else None), _chooser(1, "tail")
_FLAT = types.float32[::1]
BLOCK = 1 << 15             # floats of a and out, or more where b is larger, that all panels of b pass over before the next ones
FEWEST_LINES = 8            # of such a block


@linked(_FLAT, _FLAT, _FLAT, _FLAT, types.UniTuple(types.int64, 28))
def contract(a, b, start, out, numbers):
    (N, O, M, K, T, U, V, an, ao, ai, at, au, av, bo, bt, bu, bv, bk, sn, so, si, sk, on, oo, oi, a0, relu, packed) = numbers
    a, b, start, out = address(a), address(b), address(start), address(out)
    parts = (M + ROWS - 1) // ROWS
    lines = N * O
    block = lines if bo else max(FEWEST_LINES, max(BLOCK, U * V * K) // (M * (K + ai) + 1))
    for first in range(0, lines, block):
        for panel in range((K + PANEL - 1) // PANEL):
            columns = min(PANEL, K - panel * PANEL)
            last = columns - (VECTORS - 1) * LANES
            n, o = first // O, first % O
            for _ in range(min(block, lines - first)):
                i = 0
                for part in range(parts):
                    height = M * (part + 1) // parts - i
                    ia, ib = a0 + n * an + o * ao + i * ai, o * bo + panel * bk
                    istart, iout = n * sn + o * so + i * si + panel * sk, n * on + o * oo + i * oi + panel * PANEL
                    if last == LANES or last > 0 and (WIDE or packed):
                        _FULL(height, a, b, start, out, ia, ib, istart, iout, T, U, V, at, au, av, bt, bu, bv,
                              ai, si, oi, last, relu)
                    else:
                        _NARROW(height, a, b, start, out, ia, ib, istart, iout, T, U, V, at, au, av, bt, bu, bv,
                                ai, si, oi, columns, relu)
                    i += height
                o += 1
                if o == O:
                    n, o = n + 1, 0
