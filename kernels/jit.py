"""How a function of the cpu column is compiled, checked and called: the one place for Numba's options.

    @helper            compiled into its callers
    @linked(types)     compiled once, reached by other kernels through its address (one micro-kernel, many callers)
    @cpu_kernel        a public kernel: compiled at the first call, kept in the cache, validated at every call

What a call costs: a glance at the Python types, Numba's dispatcher compares its own (C code), the compiled entry compares
shapes, ranges and memory (some nanoseconds, generated from table.py), then the body runs. Whatever does not pass goes to the
Python validator, which either makes it usable (a view is copied) or raises with all the numbers.
"""
import inspect
import threading
import time

import numpy as np
from numba import config, njit, types
from numba.extending import intrinsic

from .cache import KernelCache
from .inside import part
from .simd import address
from .table import PAD_LIMIT, SPECS, Spec, integer_range, validate

# contract: a * b + c may be one instruction, where the machine has it. nsz: -0 and +0 are alike. Never nnan or ninf: NaN
# must survive training; never reassoc: sums keep their order, whatever the width of the vectors.
OPTIONS = {"nogil": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}

_NUMBERS = frozenset((int, float))
_lock = threading.RLock()           # one compilation at a time
_seconds = 0.0


def compile_seconds() -> float:
    """Seconds this process has spent compiling kernels, or loading them from the cache."""
    return _seconds


def helper(function):
    """A function that other kernels compile in, as a call or inlined as LLVM sees fit."""
    return part(function, **OPTIONS)


def inlined(function):
    """A helper that is always inlined: a call with four arrays costs as much as 14 x 2 x 16 multiply-adds of a tile."""
    return part(function, forceinline=True, **OPTIONS)


class _NoMatch(TypeError):
    """No compiled variant for these argument types."""


def _refuse(*args, **named):
    raise _NoMatch


def _compile(dispatcher, signature):
    """Compiles, or loads, one variant; returns Numba's compile result."""
    global _seconds
    start = time.perf_counter()
    dispatcher.compile(signature)
    _seconds += time.perf_counter() - start
    return dispatcher.overloads[signature]


class Linked:
    """A function of fixed types that kernels reach through its address."""

    def __init__(self, function, signature):
        self.function, self.signature, self.entry = function, signature, None

    def address(self):
        if config.DISABLE_JIT:
            return self.function
        if self.entry is None:
            with _lock:
                if self.entry is None:
                    dispatcher = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(self.function)
                    dispatcher._cache = KernelCache(f"{self.function.__module__}.{self.function.__name__}")
                    self.result = _compile(dispatcher, self.signature)          # kept: the address lives as long as this
                    self.entry = self.result.library.get_pointer_to_function(self.result.fndesc.llvm_func_name)
        return self.entry


LINKED: dict[str, Linked] = {}


def linked(*signature):
    """Registers a function of (a, b, start, out, numbers), the arguments that `call` passes on."""
    def register(function):
        LINKED[function.__name__] = Linked(function, signature)
        return function
    return register


@intrinsic
def _call_address(typing, address, a, b, start, out, numbers):
    arguments = (a, b, start, out, numbers)

    def generate(context, builder, signature, args):
        convention = context.call_conv
        pointer = convention.get_function_type(types.none, arguments).as_pointer()
        convention.call_function(builder, builder.inttoptr(args[0], pointer), types.none, arguments, args[1:])
        return context.get_dummy_value()
    return types.void(types.int64, *arguments), generate


if config.DISABLE_JIT:
    def call(function, *args):
        """Calls a linked function: its address in compiled code, the function itself without the compiler."""
        function(*args)
else:
    call = _call_address


def _plain(args, arrays):
    """Whether Numba's dispatcher sees the arguments, the first of which are arrays, as what they are.

    It takes a MaskedArray for an array, and an array of swapped bytes for a native one once it has met a misaligned one:
    its fingerprint of an array knows neither.
    """
    for a in args[:arrays]:
        if type(a) is not np.ndarray or not a.dtype.isnative:
            return False
    return _NUMBERS.issuperset(map(type, args[arrays:]))


def _links(names) -> tuple[int, ...]:
    """What a kernel gets behind the table's arguments: addresses, and that the whole work is its own."""
    return tuple({"part": 0, "parts": 1}[name] if name in ("part", "parts") else LINKED[name].address() for name in names)


class Kernel:
    """A public kernel of the cpu column; see the module's docstring for what happens in a call.

    A body may name linked functions as parameters behind those of the table, and at the end `part, parts`: the share of the
    work that a call does where threads split it (bands.py). They are filled in here.
    """

    def __init__(self, body):
        self.spec: Spec = SPECS[body.__name__]
        parameters = tuple(inspect.signature(body).parameters)
        self.links = parameters[len(self.spec.parameters):]
        if parameters != self.spec.parameters + self.links:
            raise TypeError(f"{self.spec.name} must take ({', '.join(self.spec.parameters)})")
        self.__name__ = self.__qualname__ = body.__name__
        self.__doc__, self.__module__ = body.__doc__, body.__module__
        own = list(inspect.signature(body).parameters.values())[: len(self.spec.parameters)]
        self.__signature__ = inspect.Signature(own)
        self.body, self.dispatcher, self.addresses = body, None, ()

    @property
    def direct(self):
        """The kernel itself: it has no other way; see choice.py."""
        return self

    def chosen(self, args):
        """The kernel that a call with these arguments runs: this one."""
        return self

    def __call__(self, *args, **named):
        if named:
            args = self.__signature__.bind(*args, **named).args
        if self.dispatcher is not None and _plain(args, len(self.spec.arrays)):
            try:
                if self.dispatcher(*args, *self.addresses):
                    return
            except (_NoMatch, OverflowError):               # OverflowError: an int of more than 64 bits
                pass
        self._checked_call(args)

    def _checked_call(self, args):
        args = validate(self.spec, args, np.dtype(np.float32))
        if config.DISABLE_JIT:
            return self.body(*args, *_links(self.links))
        arrays = args[: len(self.spec.arrays)]
        arrays = [a if a.flags.writeable else a.copy() for a in arrays]     # one compiled variant serves both
        self._prepare(arrays)
        if not self.dispatcher(*arrays, *args[len(arrays):], *self.addresses):
            raise AssertionError(f"{self.spec.name}: the compiled check refuses what the validator accepts")

    def entry(self, arrays):
        """(address, links): the compiled variant for these arrays, and what it takes behind the table's arguments."""
        result = self.dispatcher.overloads[self._prepare(arrays)]
        return result.library.get_pointer_to_function(result.fndesc.llvm_func_name), list(self.addresses)

    def _prepare(self, arrays):
        """Has the variant for arrays with these numbers of axes; returns its signature."""
        floats = {"float": types.float32, "uint8": types.uint8, "int64": types.int64}
        signature = tuple(types.Array(floats[a.dtype], v.ndim, "C") for a, v in zip(self.spec.arrays, arrays, strict=True))
        signature += (types.int64,) * len(self.spec.integers) + (types.float64,) * len(self.spec.floats)
        signature += (types.int64,) * len(self.links)
        with _lock:
            if self.dispatcher is None:
                self.addresses = _links(self.links)
                dispatcher = njit(no_cfunc_wrapper=True, **OPTIONS)(_entry(self.spec, self.body, self.links))
                dispatcher._cache = KernelCache(f"{self.__module__}.{self.__name__}")
                dispatcher._compile_for_args = _refuse      # types without a variant are the validator's business
                _compile(dispatcher, signature)
                self.dispatcher = dispatcher
            elif signature not in self.dispatcher.overloads:
                _compile(self.dispatcher, signature)
        return signature


cpu_kernel = Kernel


@helper
def _overlap(p, m, q, n):
    """Whether m bytes from address p on and n bytes from q on have some in common."""
    return m > 0 and n > 0 and p < q + n and q < p + m


@helper
def _windows_fit(extent, outputs, window, stride, pad, limit):
    """The condition of table._check_windows for one axis; the first line keeps the product below 2^63."""
    if outputs - 1 > (extent + 2 * PAD_LIMIT) // stride:
        return False
    after = (outputs - 1) * stride + window - pad - extent
    return -stride < after <= limit and pad <= limit


def _memory(array) -> str:
    """Address and bytes of an array, as Python expressions."""
    return f"address({array.name}), {array.name}.size * {array.name}.itemsize"


def _conditions(spec: Spec) -> list[str]:
    """What a call must fulfil, as Python expressions over its arguments; the same rules as table.validate."""
    bound, like, tests = {}, None, []
    for array in spec.arrays:
        if array.axes == "*":
            like = like or array.name
            tests += [f"{array.name}.shape == {like}.shape"] if array.name != like else []
        else:
            for axis, letter in enumerate(array.axes):
                extent = f"{array.name}.shape[{axis}]"
                tests += [f"{extent} == {bound[letter]}"] if letter in bound else [f"{extent} > 0"] if letter != "N" else []
                bound.setdefault(letter, extent)
    tests += [f"{a.name}.size == 0 or address({a.name}) % {a.name}.itemsize == 0" for a in spec.arrays]
    for name in spec.integers:
        low, high = integer_range(name)
        tests.append(f"{low} <= {name} <= {high}")
    tests += ["0 <= rate < 1"] if "rate" in spec.floats else []
    tests += ["size_h * size_w <= 255"] if "size_h" in spec.integers else []
    for axis, out, sizes, stride, pad, pool in spec.windows:
        size = " + ".join(bound.get(name, name) for name in sizes) + f" - {len(sizes) - 1}"
        tests.append(f"fit({bound[axis]}, {bound[out]}, {size}, {stride}, {pad}, {f'{size} - 1' if pool else PAD_LIMIT})")
    for output in spec.outputs:
        tests += [f"not overlap({_memory(output)}, {_memory(a)})" for a in spec.arrays if a.name != output.name]
    return tests


def _entry(spec: Spec, body, links):
    """The compiled front of a kernel: False if a condition fails, else the body runs and the answer is True."""
    names = ", ".join(spec.parameters + tuple(links))
    lines = [f"def {spec.name}({names}):"]
    lines += [f"    if not ({test}): return False" for test in _conditions(spec)]
    if any(a.name == "labels" for a in spec.arrays):
        lines += ["    for label in labels:", "        if not 0 <= label < x.shape[1]: return False"]
    lines += [f"    body({names})", "    return True"]
    scope = {"__name__": body.__module__, "body": helper(body), "overlap": _overlap, "fit": _windows_fit, "address": address}
    exec("\n".join(lines), scope)           # built from table.py alone
    return scope[spec.name]
