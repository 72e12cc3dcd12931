"""The tiles of the SIMD vocabulary as Numba intrinsics: m x nv vectors that stay in registers. See simd.py for the meaning."""
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from .simd_llvm import (
    I64,
    LANES,
    VECTOR,
    below_mask,
    call_named,
    constant,
    pointer_to,
    read,
    read_masked,
    spread,
    write,
    write_tail,
)

__all__ = ["row_steps", "tile_add", "tile_axpy", "tile_fma", "tile_load", "tile_relu", "tile_scatter", "tile_store", "tile_zeros"]


class Tile(types.Type):
    """Type of m x nv vectors of accumulators."""

    def __init__(self, m, nv):
        self.m, self.nv = m, nv
        super().__init__(name=f"Tile({m}, {nv})")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, ir.ArrayType(VECTOR, fe_type.m * fe_type.nv))


@intrinsic(prefer_literal=True)
def tile_zeros(typing, m, nv):
    tile = Tile(m.literal_value, nv.literal_value)

    def generate(context, builder, signature, args):
        return ir.Constant(ir.ArrayType(VECTOR, tile.m * tile.nv), [constant(VECTOR, 0.0)] * (tile.m * tile.nv))
    return tile(m, nv), generate


def _row(builder, pointer, nv, mask):
    """nv vectors from `pointer` on, the last one masked where there is a mask."""
    places = [builder.gep(pointer, [ir.Constant(I64, c * LANES)]) for c in range(nv)]
    last = read(builder, places[-1]) if mask is None else read_masked(builder, places[-1], mask)
    return [read(builder, p) for p in places[:-1]] + [last]


@intrinsic
def tile_add(typing, t, a, i, step, n):
    def generate(context, builder, signature, args):
        tile, array, index, distance, count = args
        base, mask = pointer_to(context, builder, a, array, index), below_mask(builder, count)
        for r in range(t.m):
            row = builder.gep(base, [builder.mul(distance, ir.Constant(I64, r))])
            for c, vector in enumerate(_row(builder, row, t.nv, mask)):
                k = r * t.nv + c
                tile = builder.insert_value(tile, builder.fadd(builder.extract_value(tile, k), vector), k)
        return tile
    return t(t, a, types.int64, types.int64, types.int64), generate


@intrinsic
def tile_store(typing, t, a, i, step, n):
    def generate(context, builder, signature, args):
        tile, array, index, distance, count = args
        base = pointer_to(context, builder, a, array, index)
        for r in range(t.m):
            row = builder.gep(base, [builder.mul(distance, ir.Constant(I64, r))])
            for c in range(t.nv):
                place, vector = builder.gep(row, [ir.Constant(I64, c * LANES)]), builder.extract_value(tile, r * t.nv + c)
                if c == t.nv - 1:
                    write_tail(builder, vector, place, count)
                else:
                    write(builder, vector, place)
        return context.get_dummy_value()
    return types.void(t, a, types.int64, types.int64, types.int64), generate


_STEPS = types.UniTuple(types.int64, 5)


def _hide(builder, number):
    """The same number, of which the optimizer knows nothing."""
    return builder.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [number], side_effect=False)


@intrinsic
def row_steps(typing, step):
    """(step, 3 step, 4 step, 8 step, 12 step), each hidden from the optimizer.

    A row's address is then base + one of {0, 4, 8, 12} steps + {0, 1, 2, 3} steps, which x86 adds within the load. Left
    alone, LLVM walks from row to row with one addition each, a chain as long as the multiplications it feeds: the
    14 x 1 tile ran at half its speed.
    """
    def generate(context, builder, signature, args):
        steps = [_hide(builder, builder.mul(args[0], ir.Constant(I64, k))) for k in (1, 3, 4, 8, 12)]
        return cgutils.pack_array(builder, steps)
    return _STEPS(types.int64), generate


@intrinsic
def tile_fma(typing, t, a, i, rows, b, j, n):
    def generate(context, builder, signature, args):
        tile, left, index, steps, right, column, count = args
        one, three, four, eight, twelve = cgutils.unpack_tuple(builder, steps, 5)
        base = pointer_to(context, builder, a, left, index)
        mask = None if isinstance(n, types.NoneType) else below_mask(builder, count)
        weights = _row(builder, pointer_to(context, builder, b, right, column), t.nv, mask)
        groups = [base] + [builder.gep(base, [far]) for far in (four, eight, twelve)]
        for r in range(t.m):
            place = groups[r // 4]
            if r % 4:
                near = (one, builder.mul(one, ir.Constant(I64, 2)), three)[r % 4 - 1]
                place = builder.gep(place, [near])
            pixel = spread(builder, builder.load(place))
            for c, weight in enumerate(weights):
                k = r * t.nv + c
                tile = builder.insert_value(tile, _fma(builder, pixel, weight, builder.extract_value(tile, k)), k)
        return tile
    return t(t, a, types.int64, _STEPS, b, types.int64, n if isinstance(n, types.NoneType) else types.int64), generate


# ---- full vectors alone: sparse gradients (convpool2d_winners_cpu.py) ----

def _vectors(context, builder, t, a, array, index, distance):
    """(k, pointer): where vector k of the tile lies in memory."""
    base = pointer_to(context, builder, a, array, index)
    for k in range(t.m * t.nv):
        row = builder.gep(base, [builder.mul(distance, ir.Constant(I64, k // t.nv))])
        yield k, builder.gep(row, [ir.Constant(I64, k % t.nv * LANES)])


def _fma(builder, v, w, u):
    return call_named(builder, f"llvm.fma.v{LANES}f32", VECTOR, [v, w, u])


@intrinsic(prefer_literal=True)
def tile_load(typing, m, nv, a, i, step):
    t = Tile(m.literal_value, nv.literal_value)

    def generate(context, builder, signature, args):
        tile = ir.Constant(ir.ArrayType(VECTOR, t.m * t.nv), ir.Undefined)
        for k, place in _vectors(context, builder, t, a, *args[2:]):
            tile = builder.insert_value(tile, read(builder, place), k)
        return tile
    return t(m, nv, a, types.int64, types.int64), generate


@intrinsic
def tile_relu(typing, t):
    def generate(context, builder, signature, args):
        tile, zero = args[0], constant(VECTOR, 0.0)
        for k in range(t.m * t.nv):
            v = builder.extract_value(tile, k)
            tile = builder.insert_value(tile, builder.select(builder.fcmp_ordered("<=", v, zero), zero, v), k)
        return tile
    return t(t), generate


@intrinsic
def tile_axpy(typing, t, s, a, i, step):
    def generate(context, builder, signature, args):
        tile, factor = args[0], spread(builder, args[1])
        for k, place in _vectors(context, builder, t, a, *args[2:]):
            tile = builder.insert_value(tile, _fma(builder, read(builder, place), factor, builder.extract_value(tile, k)), k)
        return tile
    return t(t, types.float32, a, types.int64, types.int64), generate


@intrinsic
def tile_scatter(typing, t, s, a, i, step):
    def generate(context, builder, signature, args):
        tile, factor = args[0], spread(builder, args[1])
        for k, place in _vectors(context, builder, t, a, *args[2:]):
            write(builder, _fma(builder, builder.extract_value(tile, k), factor, read(builder, place)), place)
        return context.get_dummy_value()
    return types.void(t, types.float32, a, types.int64, types.int64), generate
