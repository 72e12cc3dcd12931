"""The one table of kernels: name, arguments, shapes, types; and the one validator that reads it.

A line reads `name  inputs -> outputs ; integers ; floats`. An array is written `name:AXES`, an axis letter stands for an
extent that must agree wherever it occurs (the legend is in `__init__.py`), `*` means "any axes, all such arrays alike", and
`:uint8` or `:int64` names a type that is not the column's float. Arguments stand in this order in the call. An output
marked `!` is read as well as written (weights and moments of an optimizer).

Everything that judges a call follows from this table: the Python validator below, whose messages print every number, and
the compiled check that `jit.py` generates for the cpu column from the same entries.
"""
import functools
import inspect
from dataclasses import dataclass

import numpy as np

_TABLE = """
conv2d_forward            x:NHWC w:RSCK b:K -> y:NPQK              ; stride_h stride_w pad_top pad_left ;
conv2d_relu_forward       x:NHWC w:RSCK b:K -> y:NPQK              ; stride_h stride_w pad_top pad_left ;
conv2d_backward_input     dy:NPQK w:RSCK -> dx:NHWC                ; stride_h stride_w pad_top pad_left ;
conv2d_backward_weight    x:NHWC dy:NPQK -> dw:RSCK db:K           ; stride_h stride_w pad_top pad_left ;
convpool2d_forward        x:NHWC w:RSCK b:K -> y:NPQK argmax:NPQK:uint8           ; size_h size_w pad_top pad_left ;
convpool2d_backward_input  dy:NPQK argmax:NPQK:uint8 w:RSCK -> dx:NHWC            ; size_h size_w pad_top pad_left ;
convpool2d_backward_weight x:NHWC dy:NPQK argmax:NPQK:uint8 -> dw:RSCK db:K       ; size_h size_w pad_top pad_left ;
maxpool2d_forward         x:NHWC -> y:NPQC argmax:NPQC:uint8       ; size_h size_w stride_h stride_w pad_top pad_left ;
maxpool2d_backward        dy:NPQC argmax:NPQC:uint8 -> dx:NHWC     ; size_h size_w stride_h stride_w pad_top pad_left ;
avgpool2d_forward         x:NHWC -> y:NPQC                         ; size_h size_w stride_h stride_w pad_top pad_left ;
avgpool2d_backward        dy:NPQC -> dx:NHWC                       ; size_h size_w stride_h stride_w pad_top pad_left ;
global_avgpool2d_forward  x:NHWC -> y:NC                           ; ;
global_avgpool2d_backward dy:NC -> dx:NHWC                         ; ;
dense_forward             x:NC w:CK b:K -> y:NK                    ; ;
dense_backward_input      dy:NK w:CK -> dx:NC                      ; ;
dense_backward_weight     x:NC dy:NK -> dw:CK db:K                 ; ;
relu_forward              x:* -> y:*                               ; ;
relu_backward             dy:* y:* -> dx:*                         ; ;
leaky_relu_forward        x:* -> y:*                               ; ; slope
leaky_relu_backward       dy:* x:* -> dx:*                         ; ; slope
sigmoid_forward           x:* -> y:*                               ; ;
sigmoid_backward          dy:* y:* -> dx:*                         ; ;
tanh_forward              x:* -> y:*                               ; ;
tanh_backward             dy:* y:* -> dx:*                         ; ;
gelu_forward              x:* -> y:*                               ; ;
gelu_backward             dy:* x:* -> dx:*                         ; ;
softmax_forward           x:NK -> y:NK                             ; ;
softmax_backward          dy:NK y:NK -> dx:NK                      ; ;
softmax_cross_entropy_forward  x:NK labels:N:int64 weights:K -> loss:N   ; ; label_smoothing
softmax_cross_entropy_backward x:NK labels:N:int64 weights:K -> dx:NK    ; ; label_smoothing scale
mean_squared_error_forward     x:NK target:NK -> loss:N            ; ;
mean_squared_error_backward    x:NK target:NK -> dx:NK             ; ; scale
batchnorm_statistics      x:NHWC -> mean:C rest:C squares:C        ; ;
batchnorm_forward         x:NHWC mean:C var:C gamma:C beta:C -> y:NHWC            ; ; eps
batchnorm_backward_sums   dy:NHWC x:NHWC mean:C var:C -> dgamma:C dbeta:C         ; ; eps
batchnorm_backward_input  dy:NHWC x:NHWC mean:C var:C gamma:C dgamma:C dbeta:C -> dx:NHWC ; count ; eps
batchnorm_relu_forward         x:NHWC mean:C var:C gamma:C beta:C -> y:NHWC                    ; ; eps
batchnorm_relu_backward_sums   dy:NHWC x:NHWC mean:C var:C gamma:C beta:C -> dgamma:C dbeta:C  ; ; eps
batchnorm_relu_backward_input  dy:NHWC x:NHWC mean:C var:C gamma:C beta:C dgamma:C dbeta:C -> dx:NHWC ; count ; eps
dropout_forward           x:NE samples:N:int64 -> y:NE mask:NE:uint8 ; seed stream epoch ; rate
dropout_backward          dy:* mask:*:uint8 -> dx:*                ; ; rate
accumulate                x:* -> total:*!                          ; ;
sgd_update                dw:* -> w:*! velocity:*!                 ; ; lr momentum weight_decay
nesterov_update           dw:* -> w:*! velocity:*!                 ; ; lr momentum weight_decay
adam_update               dw:* -> w:*! m:*! v:*!                   ; step ; lr beta1 beta2 eps weight_decay
adamw_update              dw:* -> w:*! m:*! v:*!                   ; step ; lr beta1 beta2 eps weight_decay
"""

PAD_LIMIT = 4096            # rows or columns of zeros on one side; keeps a mistyped pad from asking for terabytes
STRIDE_LIMIT = 2**31 - 1
INTEGER_RANGES = {          # lowest and highest value of the integers that are not sizes, strides or pads
    "count": (1, 2**62), "step": (1, 2**53), "seed": (0, 2**63 - 1), "stream": (0, 2**32 - 1), "epoch": (0, 2**32 - 1),
}


@dataclass(frozen=True)
class Array:
    """One array argument: its axes (letters, or `*`), its type (`float` means the column's), and whether it is written."""

    name: str
    axes: str
    dtype: str
    output: bool
    updated: bool           # read as well as written


@dataclass(frozen=True)
class Spec:
    """The signature of one kernel, the same in every column."""

    name: str
    arrays: tuple[Array, ...]
    integers: tuple[str, ...]
    floats: tuple[str, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.arrays) + self.integers + self.floats

    @property
    def outputs(self) -> tuple[Array, ...]:
        return tuple(a for a in self.arrays if a.output)

    @property
    def windows(self) -> tuple[tuple[str, str, tuple[str, ...], str, str, bool], ...]:
        """(input axis, output axis, sizes, stride, pad, is a pool) of height and width, or nothing.

        A window's extent is the one size, or sum of sizes - 1: what a window of windows sees of the input.
        """
        if "pad_top" not in self.integers:
            return ()
        pooled, strided = "size_h" in self.integers, "stride_h" in self.integers
        height, width = (("size_h",), ("size_w",)) if pooled and strided else (("R",), ("S",))
        if not strided:                         # a convolution of stride 1 under windows of a pool that lie side by side
            height, width = (*height, "size_h"), (*width, "size_w")
        down, across = ("stride_h", "stride_w") if strided else ("size_h", "size_w")
        pool = pooled and strided
        return ("H", "P", height, down, "pad_top", pool), ("W", "Q", width, across, "pad_left", pool)


def _array(text: str, output: bool) -> Array:
    name, axes, *dtype = text.split(":")
    return Array(name, axes.rstrip("!"), dtype[0] if dtype else "float", output, axes.endswith("!"))


def _spec(line: str) -> Spec:
    arrays, integers, floats = line.split(";")
    name, arrays = arrays.split(maxsplit=1)
    inputs, outputs = arrays.split("->")
    return Spec(name, tuple(_array(t, False) for t in inputs.split()) + tuple(_array(t, True) for t in outputs.split()),
                tuple(integers.split()), tuple(floats.split()))


SPECS: dict[str, Spec] = {spec.name: spec for spec in map(_spec, _TABLE.strip().splitlines())}


def validate(spec: Spec, args: tuple, column_dtype: np.dtype | None) -> list:
    """The arguments of one call, fit to be used; or an error that says with all numbers what does not fit.

    column_dtype: the float type of the column, or None where any float or complex type will do, alike in all arrays.
    Inputs that are strided, misaligned, byte-swapped or of an ndarray subclass are copied into plain C order; outputs
    must be plain already, since they are written in place.
    Raises TypeError (number or type of arguments) and ValueError (shapes, ranges, overlap).
    """
    numbers = _numbers(spec, args)
    dtype = column_dtype if column_dtype is not None else _float_type(spec, args)
    arrays = [_plain(spec, array, value, dtype) for array, value in zip(spec.arrays, args, strict=False)]
    extents = _check_extents(spec, arrays, numbers)
    _check_labels(spec, arrays, extents)
    _check_overlap(spec, arrays)
    return arrays + numbers


def validate_shapes(spec: Spec, args: tuple, dtype: np.dtype) -> list:
    """The same for arrays that lie elsewhere, of which only type and shape are looked at, never what is in them."""
    numbers = _numbers(spec, args)
    for array, value in zip(spec.arrays, args, strict=False):
        expected = dtype if array.dtype == "float" else np.dtype(array.dtype)
        if not hasattr(value, "shape") or value.dtype != expected:
            raise TypeError(f"{spec.name}: {array.name} must be an array of {expected}, "
                            f"got {getattr(value, 'dtype', type(value).__name__)}")
    arrays = list(args[:len(spec.arrays)])
    _check_extents(spec, arrays, numbers)
    return arrays + numbers


def _numbers(spec: Spec, args: tuple) -> list:
    """The integers and floats among the arguments, when there are as many arguments as there should be."""
    if len(args) != len(spec.parameters):
        raise TypeError(f"{spec.name} takes {len(spec.parameters)} arguments ({', '.join(spec.parameters)}), got {len(args)}")
    n, m = len(spec.arrays), len(spec.arrays) + len(spec.integers)
    return ([_integer(spec, name, value) for name, value in zip(spec.integers, args[n:m], strict=True)]
            + [_float(spec, name, value) for name, value in zip(spec.floats, args[m:], strict=True)])


def _check_extents(spec: Spec, arrays: list, numbers: list) -> dict[str, int]:
    """The extent behind each axis letter, when all shapes and windows fit."""
    extents = _extents(spec, arrays)
    _check_windows(spec, extents | dict(zip(spec.integers, numbers[:len(spec.integers)], strict=True)))
    return extents


def _float_type(spec: Spec, args: tuple) -> np.dtype:
    first = next(a.name for a in spec.arrays if a.dtype == "float")
    value = args[[a.name for a in spec.arrays].index(first)]
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{spec.name}: {first} must be a NumPy array, got {type(value).__name__}")
    if value.dtype.kind not in "fc":
        raise TypeError(f"{spec.name}: {first} must be of a float or complex type, got {value.dtype}")
    return value.dtype.newbyteorder("=")


def _plain(spec: Spec, array: Array, value, dtype: np.dtype) -> np.ndarray:
    where = f"{spec.name}: {array.name}"
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{where} must be a NumPy array, got {type(value).__name__}")
    expected = dtype if array.dtype == "float" else np.dtype(array.dtype)
    if value.dtype.newbyteorder("=") != expected:
        raise TypeError(f"{where} must be {expected}, got {value.dtype}; convert it: {array.name}.astype(np.{expected})")
    usable = value.flags.c_contiguous and value.flags.aligned and value.dtype.isnative
    if not array.output:
        return np.asarray(value) if usable else np.array(value, expected, order="C", subok=False)
    if not usable:
        raise ValueError(f"{where} is written in place and must be C-contiguous and aligned, "
                         f"got strides {value.strides} for shape {value.shape}")
    if not value.flags.writeable:
        raise ValueError(f"{where} is written in place, but the array is read-only")
    return np.asarray(value)


def integer_range(name: str) -> tuple[int, int]:
    """The lowest and highest value that an integer argument may have."""
    return INTEGER_RANGES.get(name, (0, PAD_LIMIT) if name.startswith("pad") else (1, STRIDE_LIMIT))


def _integer(spec: Spec, name: str, value) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{spec.name}: {name} must be an integer, got {value!r}")
    value = int(value)
    low, high = integer_range(name)
    if not low <= value <= high:
        raise ValueError(f"{spec.name}: {name} must lie in {low}..{high}, got {value}")
    return value


def _float(spec: Spec, name: str, value) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{spec.name}: {name} must be a real number, got {value!r}")
    value = float(value)
    if name == "rate" and not 0 <= value < 1:
        raise ValueError(f"{spec.name}: rate must lie in [0, 1), got {value}")
    return value


def _extents(spec: Spec, arrays: list[np.ndarray]) -> dict[str, int]:
    """The extent behind each axis letter; an error where two arrays disagree."""
    extents: dict[str, int] = {}
    like: tuple | None = None
    for array, value in zip(spec.arrays, arrays, strict=True):
        if array.axes == "*":
            like = value.shape if like is None else like
            if value.shape != like:
                raise ValueError(f"{spec.name}: {array.name} has shape {value.shape}, {spec.arrays[0].name} has {like}; "
                                 "they must be equal")
            continue
        if value.ndim != len(array.axes):
            raise ValueError(f"{spec.name}: {array.name} must have the axes ({', '.join(array.axes)}), got shape {value.shape}")
        for letter, extent in zip(array.axes, value.shape, strict=True):
            if extent != extents.setdefault(letter, extent):
                expected = ", ".join(f"{a}={extents[a]}" if a in extents else a for a in array.axes)
                raise ValueError(f"{spec.name}: {array.name} has shape {value.shape}, expected ({expected})")
            if extent == 0 and letter != "N":
                raise ValueError(f"{spec.name}: {array.name} has shape {value.shape}: axis {letter} is empty; only N may be 0")
    return extents


def _check_windows(spec: Spec, number: dict[str, int]) -> None:
    for axis, out, sizes, stride, pad, pool in spec.windows:
        window, size = " + ".join(sizes) + " - 1" * (len(sizes) > 1), sum(number[name] for name in sizes) - len(sizes) + 1
        extent, outputs, step, before = number[axis], number[out], number[stride], number[pad]
        after = (outputs - 1) * step + size - before - extent
        reading = (f"{spec.name}: {out}={outputs} windows of {window}={size} with {stride}={step} over {axis}={extent} and "
                   f"{pad}={before} leave {after} rows or columns of padding behind the input")
        if after <= -step:
            raise ValueError(f"{reading}; a window is missing: {out} = floor(({axis} + pads - {window}) / {stride}) + 1")
        limit = size - 1 if pool else PAD_LIMIT
        if after > limit or before > limit:
            rule = "every window of a pool must meet the input" if pool else f"at most {limit} are allowed"
            raise ValueError(f"{reading}; {rule}")
    if "size_h" in number and number["size_h"] * number["size_w"] > 255:
        raise ValueError(f"{spec.name}: a window of {number['size_h']}x{number['size_w']} has more than 255 taps")


def _check_labels(spec: Spec, arrays: list[np.ndarray], extents: dict[str, int]) -> None:
    for array, value in zip(spec.arrays, arrays, strict=True):
        if array.name == "labels" and value.size and not 0 <= value.min() <= value.max() < extents["K"]:
            raise ValueError(f"{spec.name}: labels lie in {value.min()}..{value.max()}, but there are K={extents['K']} classes")


def _check_overlap(spec: Spec, arrays: list[np.ndarray]) -> None:
    for i, array in enumerate(spec.arrays):
        for j, other in enumerate(spec.arrays):
            if array.output and i != j and np.may_share_memory(arrays[i], arrays[j]):
                raise ValueError(f"{spec.name}: {array.name} shares memory with {other.name}")


def reference_kernel(function):
    """Puts the validator in front of a function of the reference column; any float or complex type is accepted."""
    spec = SPECS[function.__name__]
    if tuple(inspect.signature(function).parameters) != spec.parameters:
        raise TypeError(f"{spec.name} must take ({', '.join(spec.parameters)})")

    @functools.wraps(function)
    def kernel(*args, **named):
        if named:
            args = inspect.signature(function).bind(*args, **named).args
        with np.errstate(all="ignore"):         # as in compiled code, NaN and infinity are values and no news
            return function(*validate(spec, args, None))

    return kernel
