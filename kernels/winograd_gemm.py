"""Matrix products of whole vectors: what Winograd spends its time on. No tails: scratch is padded to whole tiles.

    out[i, k] = sum over t of a[i, t] * b[t, k],    i < rows, k < PANEL; or `added` to out

The tile is that of contract_cpu.py, ROWS x VECTORS at most; rows are cut into nearly equal parts of an even height, so
that half of the tiles need to be compiled. `rows` counts what is wanted; what an even height adds must be there to read
and write. Each element is one chain of fused multiply-adds over t in order, whatever the height.
"""
from .contract_cpu import PANEL, ROWS, VECTORS
from .jit import helper, inlined
from .simd import LANES, row_steps, tile_add, tile_fma, tile_store, tile_zeros


def _tile(m):
    @inlined
    def tile(a, ia, step, walk, b, ib, terms, out, iout, added):
        acc, rows = tile_zeros(m, VECTORS), row_steps(step)
        for t in range(terms):
            acc = tile_fma(acc, a, ia + t * walk, rows, b, ib + t * PANEL, LANES)
        if added:
            acc = tile_add(acc, out, iout, PANEL, LANES)
        tile_store(acc, out, iout, PANEL, LANES)
    return tile


def _chooser():
    names = "a, ia, step, walk, b, ib, terms, out, iout, added"
    lines = [f"def choose(height, {names}):"] + [f"    if height == {m}: tile{m}({names})" for m in range(2, ROWS + 1, 2)]
    scope = {"__name__": __name__} | {f"tile{m}": _tile(m) for m in range(2, ROWS + 1, 2)}
    exec("\n".join(lines), scope)
    return inlined(scope["choose"])


_choose = _chooser()


@helper
def even(n):
    return (n + 1) // 2 * 2


@helper
def multiply(rows, a, ia, step, walk, b, ib, terms, out, iout, added):
    """Row i of a starts at ia + i step, its terms lie `walk` apart; b and out have PANEL columns."""
    parts, i = (rows + ROWS - 1) // ROWS, 0
    for part in range(parts):
        height = even(rows * (part + 1) // parts) - i
        _choose(height, a, ia + i * step, step, walk, b, ib, terms, out, iout + i * PANEL, added)
        i += height
