"""Single instructions that Numba has no word for; each has a twin in Python for the simulator.

    ld1(a, i), st1(a, i, v)      one element; i counts from 0 (a[i] would test for i < 0 and add the length)
    ldv4(a, i), stv4(a, i, ...)  four elements from i on, i a multiple of 4: one access of 4 x 4 bytes (or 4 x 1)
    divide(a, b)                 a // b of 32-bit numbers, a >= 0, b > 0 (Numba divides in 64 bits: five times as long)

The arrays are one-dimensional, and start at a multiple of 16 bytes: those of a launch are checked, those in shared memory
need `alignment=16`. No index is tested on the GPU; in the simulator every one is.
"""
from ._compat import SIMULATOR

if SIMULATOR:
    def ld1(array, i):
        return array[i]

    def st1(array, i, value):
        array[i] = value

    def ldv4(array, i):
        _check_aligned(array, i)
        return array[i], array[i + 1], array[i + 2], array[i + 3]

    def stv4(array, i, a, b, c, d):
        _check_aligned(array, i)
        array[i], array[i + 1], array[i + 2], array[i + 3] = a, b, c, d

    def divide(a, b):
        if a < 0 or b <= 0:
            raise ValueError(f"divide({a}, {b}): expected a >= 0 and b > 0")
        return a // b

    def _check_aligned(array, i):
        bytes_ = array.alignment if hasattr(type(array), "alignment") else 16
        if i % 4 or bytes_ % 16:
            raise ValueError(f"four elements from {i} on are no aligned access (the array is aligned to {bytes_} bytes)")
else:
    from llvmlite import ir
    from numba.cuda import cgutils, types
    from numba.cuda.extending import intrinsic
    from numba.cuda.typing import signature

    @intrinsic
    def ld1(typing, array, i):
        def generate(context, builder, sig, args):
            value = builder.load(_pointer(context, builder, sig, args))
            value.align = _bytes(array)
            return value
        return signature(array.dtype, array, i), generate

    @intrinsic
    def st1(typing, array, i, value):
        def generate(context, builder, sig, args):
            builder.store(args[2], _pointer(context, builder, sig, args)).align = _bytes(array)
            return context.get_dummy_value()
        return signature(types.void, array, i, array.dtype), generate

    @intrinsic
    def ldv4(typing, array, i):
        def generate(context, builder, sig, args):
            value = builder.load(_vector(builder, _pointer(context, builder, sig, args)))
            value.align = 4 * _bytes(array)
            return cgutils.pack_array(builder, [builder.extract_element(value, _index(k)) for k in range(4)])
        return signature(types.UniTuple(array.dtype, 4), array, i), generate

    @intrinsic
    def stv4(typing, array, i, a, b, c, d):
        def generate(context, builder, sig, args):
            pointer = _vector(builder, _pointer(context, builder, sig, args))
            value = ir.Constant(pointer.type.pointee, ir.Undefined)
            for k in range(4):
                value = builder.insert_element(value, args[2 + k], _index(k))
            builder.store(value, pointer).align = 4 * _bytes(array)
            return context.get_dummy_value()
        return signature(types.void, array, i, *[array.dtype] * 4), generate

    @intrinsic
    def divide(typing, a, b):
        def generate(context, builder, sig, args):
            return builder.udiv(*args)
        return signature(types.int32, types.int32, types.int32), generate

    def _pointer(context, builder, sig, args):
        """The address of element args[1] of the array args[0]."""
        array = context.make_array(sig.args[0])(context, builder, args[0])
        return builder.gep(array.data, [context.cast(builder, args[1], sig.args[1], types.intp)], inbounds=True)

    def _vector(builder, pointer):
        """The same address, of four elements."""
        return builder.bitcast(pointer, ir.VectorType(pointer.type.pointee, 4).as_pointer(pointer.type.addrspace))

    def _bytes(array):
        return array.dtype.bitwidth // 8

    def _index(k):
        return ir.Constant(ir.IntType(32), k)
