"""The SIMD vocabulary as Numba intrinsics: each emits a few LLVM vector instructions. See simd.py for the meaning."""
import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, overload, register_model
from numba.np.arrayobj import populate_array

from .host import WIDE

__all__ = [
    "address", "below", "bits", "both", "either", "equal", "flat", "fma", "from_bits", "invert", "isnan", "less", "less_equal",
    "load", "load_bytes", "load_tail", "max_lanes", "not_inlined", "splat", "splat_int", "sqrt", "store", "store_bytes",
    "store_tail", "sum_lanes", "to_float", "to_int", "where",
]
LANES = 16
_F32, _I1, _I8, I32, I64 = ir.FloatType(), ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
VECTOR, _MASK, _INTS, _BYTES = (ir.VectorType(t, LANES) for t in (_F32, _I1, I32, _I8))


class Lanes(types.Type):
    """Type of a value that lives in one vector register: Vec, Ints or Mask."""

    def __init__(self, name, llvm):
        self.llvm = llvm
        super().__init__(name=name)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, fe_type.llvm)


VEC, INTS, MASK = Lanes("Vec", VECTOR), Lanes("Ints", _INTS), Lanes("Mask", _MASK)


# ---- small builders ----

def constant(vector, value):
    return ir.Constant(vector, [value] * LANES)


def spread(builder, scalar):
    """The scalar in every lane."""
    vector = ir.VectorType(scalar.type, LANES)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), constant(_INTS, 0))


def _as(context, builder, value, fe_type, wanted):
    """An operand as lanes: itself, or a number spread over them."""
    if fe_type == wanted:
        return value
    number = types.float32 if wanted == VEC else types.int32
    return spread(builder, context.cast(builder, value, fe_type, number))


def pointer_to(context, builder, array_type, array, index):
    if isinstance(array_type, types.Integer):           # an address
        return builder.gep(builder.inttoptr(array, _F32.as_pointer()), [index])
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def below_mask(builder, n):
    """Mask of the lanes 0 .. n-1; n is brought to at most LANES first, so that one comparison of 32-bit lanes is enough."""
    most = ir.Constant(I64, LANES)
    n = builder.trunc(builder.select(builder.icmp_signed("<", n, most), n, most), I32)
    return builder.icmp_signed("<", ir.Constant(_INTS, list(range(LANES))), spread(builder, n))


def call_named(builder, name, result, arguments):
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, [a.type for a in arguments]), name)
    return builder.call(function, arguments)


def _alignment(vector):
    return 1 if vector.element == _I8 else 4


def read(builder, pointer, vector=VECTOR):
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=_alignment(vector))


def write(builder, value, pointer):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=_alignment(value.type))


def read_masked(builder, pointer, mask):
    """float32 lanes under the mask, 0 elsewhere: one cheap instruction from AVX on."""
    arguments = [builder.bitcast(pointer, VECTOR.as_pointer()), ir.Constant(I32, 4), mask, constant(VECTOR, 0.0)]
    return call_named(builder, f"llvm.masked.load.v{LANES}f32.p0", VECTOR, arguments)


def _copy_pieces(builder, source, target, n):
    """Copy n < LANES elements in pieces of 8, 4, 2 and 1: as the bits of n say."""
    n = builder.select(builder.icmp_signed(">", n, ir.Constant(I64, 0)), n, ir.Constant(I64, 0))
    size = LANES // 2
    while size:
        piece, done = ir.VectorType(source.type.pointee, size), builder.and_(n, ir.Constant(I64, -2 * size))
        with builder.if_then(builder.icmp_signed("!=", builder.and_(n, ir.Constant(I64, size)), ir.Constant(I64, 0))):
            begin, end = (builder.bitcast(builder.gep(p, [done]), piece.as_pointer()) for p in (source, target))
            builder.store(builder.load(begin, align=_alignment(piece)), end, align=_alignment(piece))
        size //= 2


def _slot(builder, vector):
    """Room for one vector on the stack, as a pointer to its first element."""
    return builder.bitcast(cgutils.alloca_once(builder, vector), vector.element.as_pointer())


def read_bytes(builder, pointer, n):
    """The bytes below n, 0 elsewhere."""
    slot = _slot(builder, _BYTES)
    with builder.if_else(builder.icmp_signed(">=", n, ir.Constant(I64, LANES))) as (full, part):
        with full:
            write(builder, read(builder, pointer, _BYTES), slot)
        with part:
            write(builder, constant(_BYTES, 0), slot)
            _copy_pieces(builder, pointer, slot, n)
    return read(builder, slot, _BYTES)


def write_tail(builder, value, pointer, n):
    """The lanes below n; a full vector, the usual case by far, as a plain store.

    Only AVX-512 has a masked store that is fast: AVX's took 12 ns on a Zen 3, a plain one 0.8, and bytes have none at all.
    """
    with builder.if_else(builder.icmp_signed(">=", n, ir.Constant(I64, LANES))) as (full, part):
        with full:
            write(builder, value, pointer)
        with part:
            if WIDE and value.type == VECTOR:
                arguments = [value, builder.bitcast(pointer, VECTOR.as_pointer()), ir.Constant(I32, 4), below_mask(builder, n)]
                call_named(builder, f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), arguments)
            else:
                slot = _slot(builder, value.type)
                write(builder, value, slot)
                _copy_pieces(builder, slot, pointer, n)


# ---- memory ----

@intrinsic
def address(typing, a):
    def generate(context, builder, signature, args):
        return builder.ptrtoint(context.make_array(a)(context, builder, args[0]).data, I64)
    return types.int64(a), generate


@intrinsic
def flat(typing, a, i):
    view = types.Array(a.dtype, 1, "C")

    def generate(context, builder, signature, args):
        whole, part = context.make_array(a)(context, builder, args[0]), context.make_array(view)(context, builder)
        size, item = builder.sub(whole.nitems, args[1]), whole.itemsize
        populate_array(part, builder.gep(whole.data, [args[1]]), [size], [item], item, whole.meminfo, whole.parent)
        return impl_ret_borrowed(context, builder, view, part._getvalue())
    return view(a, types.int64), generate


@intrinsic
def not_inlined(typing):
    def generate(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()
    return types.void(), generate


@intrinsic
def load(typing, a, i):
    def generate(context, builder, signature, args):
        return read(builder, pointer_to(context, builder, a, *args))
    return VEC(a, types.int64), generate


@intrinsic
def load_tail(typing, a, i, n):
    def generate(context, builder, signature, args):
        return read_masked(builder, pointer_to(context, builder, a, *args[:2]), below_mask(builder, args[2]))
    return VEC(a, types.int64, types.int64), generate


@intrinsic
def store(typing, a, i, v):
    def generate(context, builder, signature, args):
        write(builder, args[2], pointer_to(context, builder, a, *args[:2]))
        return context.get_dummy_value()
    return types.void(a, types.int64, VEC), generate


@intrinsic
def store_tail(typing, a, i, v, n):
    def generate(context, builder, signature, args):
        write_tail(builder, args[2], pointer_to(context, builder, a, *args[:2]), args[3])
        return context.get_dummy_value()
    return types.void(a, types.int64, VEC, types.int64), generate


@intrinsic
def load_bytes(typing, a, i, n):
    def generate(context, builder, signature, args):
        return builder.zext(read_bytes(builder, pointer_to(context, builder, a, *args[:2]), args[2]), _INTS)
    return INTS(a, types.int64, types.int64), generate


@intrinsic
def store_bytes(typing, a, i, v, n):
    def generate(context, builder, signature, args):
        write_tail(builder, builder.trunc(args[2], _BYTES), pointer_to(context, builder, a, *args[:2]), args[3])
        return context.get_dummy_value()
    return types.void(a, types.int64, INTS, types.int64), generate


# ---- arithmetic ----

def _lanewise(result, operands, emit):
    """An intrinsic body on lanes: operands that are numbers are spread first."""
    def typed(typing, *given):
        def generate(context, builder, signature, args):
            return emit(builder, *(_as(context, builder, *pair) for pair in zip(args, given, operands, strict=True)))
        return result(*given), generate
    return typed


_splat = _lanewise(VEC, (VEC,), lambda builder, s: s)
_splat_int = _lanewise(INTS, (INTS,), lambda builder, k: k)
_sqrt = _lanewise(VEC, (VEC,), lambda builder, v: call_named(builder, f"llvm.sqrt.v{LANES}f32", VECTOR, [v]))
_fma = _lanewise(VEC, (VEC,) * 3, lambda builder, v, w, u: call_named(builder, f"llvm.fma.v{LANES}f32", VECTOR, [v, w, u]))
_less = _lanewise(MASK, (VEC, VEC), lambda builder, v, w: builder.fcmp_ordered("<", v, w))
_less_equal = _lanewise(MASK, (VEC, VEC), lambda builder, v, w: builder.fcmp_ordered("<=", v, w))
_isnan = _lanewise(MASK, (VEC,), lambda builder, v: builder.fcmp_unordered("uno", v, v))
_equal = _lanewise(MASK, (INTS, INTS), lambda builder, i, k: builder.icmp_signed("==", i, k))
_both = _lanewise(MASK, (MASK, MASK), lambda builder, p, q: builder.and_(p, q))
_either = _lanewise(MASK, (MASK, MASK), lambda builder, p, q: builder.or_(p, q))
_invert = _lanewise(MASK, (MASK,), lambda builder, p: builder.not_(p))
_to_int = _lanewise(INTS, (VEC,), lambda builder, v: builder.fptosi(v, _INTS))
_to_float = _lanewise(VEC, (INTS,), lambda builder, i: builder.sitofp(i, VECTOR))
_bits = _lanewise(INTS, (VEC,), lambda builder, v: builder.bitcast(v, _INTS))
_from_bits = _lanewise(VEC, (INTS,), lambda builder, i: builder.bitcast(i, VECTOR))


@intrinsic
def splat(typing, s):
    return _splat(typing, s)


@intrinsic
def splat_int(typing, k):
    return _splat_int(typing, k)


@intrinsic
def sqrt(typing, v):
    return _sqrt(typing, v)


@intrinsic
def fma(typing, v, w, u):
    return _fma(typing, v, w, u)


@intrinsic
def less(typing, v, w):
    return _less(typing, v, w)


@intrinsic
def less_equal(typing, v, w):
    return _less_equal(typing, v, w)


@intrinsic
def isnan(typing, v):
    return _isnan(typing, v)


@intrinsic
def below(typing, n):
    def generate(context, builder, signature, args):
        return below_mask(builder, args[0])
    return MASK(types.int64), generate


@intrinsic
def equal(typing, i, k):
    return _equal(typing, i, k)


@intrinsic
def both(typing, p, q):
    return _both(typing, p, q)


@intrinsic
def either(typing, p, q):
    return _either(typing, p, q)


@intrinsic
def invert(typing, p):
    return _invert(typing, p)


@intrinsic
def to_int(typing, v):
    return _to_int(typing, v)


@intrinsic
def to_float(typing, i):
    return _to_float(typing, i)


@intrinsic
def bits(typing, v):
    return _bits(typing, v)


@intrinsic
def from_bits(typing, i):
    return _from_bits(typing, i)


@intrinsic
def where(typing, p, v, w):
    lanes = INTS if INTS in (v, w) else VEC
    return _lanewise(lanes, (MASK, lanes, lanes), lambda builder, p, v, w: builder.select(p, v, w))(typing, p, v, w)


def _operator(function, of_vec, of_ints):
    """`function` on lanes, or on lanes and a number; not by `overload`, which makes a function of every one, to be compiled."""
    emits = {VEC: of_vec, INTS: of_ints}

    class Typed(AbstractTemplate):
        key = function

        def generic(self, args, kws):
            lanes = {t for t in args if t in emits}
            fit = len(lanes) == 1 and all(t in lanes or isinstance(t, types.Number) for t in args)
            return lanes.pop()(*args) if fit and emits[next(iter(lanes))] else None

    infer_global(function)(Typed)
    for lanes in (lanes for lanes, emit in emits.items() if emit):
        def lower(context, builder, signature, args, lanes=lanes):
            v, w = (_as(context, builder, *pair, lanes) for pair in zip(args, signature.args, strict=True))
            return getattr(builder, emits[lanes])(v, w)
        for pair in ((lanes, lanes), (lanes, types.Number), (types.Number, lanes)):
            lower_builtin(function, *pair)(lower)


_operator(operator.add, "fadd", "add")
_operator(operator.sub, "fsub", "sub")
_operator(operator.mul, "fmul", "mul")
_operator(operator.truediv, "fdiv", None)
_operator(operator.and_, None, "and_")
_operator(operator.lshift, None, "shl")
_operator(operator.rshift, None, "ashr")


@intrinsic
def _negate(typing, v):
    return _lanewise(VEC, (VEC,), lambda builder, v: builder.fneg(v))(typing, v)


@overload(operator.neg)
def _typed_negate(v):
    return (lambda v: _negate(v)) if v == VEC else None


# ---- across lanes: halves are joined, 8 + 8, 4 + 4, ...; the order is the same on every machine ----

def _fold(builder, v, join):
    width = LANES
    while width > 1:
        width //= 2
        order = [(lane + width) % LANES for lane in range(LANES)]
        v = join(v, builder.shuffle_vector(v, v, ir.Constant(_INTS, order)))
    return builder.extract_element(v, ir.Constant(I32, 0))


@intrinsic
def sum_lanes(typing, v):
    def generate(context, builder, signature, args):
        return _fold(builder, args[0], builder.fadd)
    return types.float32(VEC), generate


@intrinsic
def max_lanes(typing, v):
    def generate(context, builder, signature, args):
        def larger(v, w):       # w where it is larger; a NaN on either side stays: "v > w" is false for it, so test it apart
            keep = builder.or_(builder.fcmp_ordered(">", v, w), builder.fcmp_unordered("uno", v, v))
            return builder.select(keep, v, w)
        return _fold(builder, args[0], larger)
    return types.float32(VEC), generate
