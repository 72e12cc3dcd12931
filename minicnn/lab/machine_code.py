"""Where the machine code of a function comes from: Numba's own listing, or a second compilation where there is none.

A function that came from a cache has no listing (Numba keeps the code, not the text), so it is compiled again, outside the
cache. A kernel of the cpu column hands most of its work to linked functions, which are libraries of their own.
"""
import functools
import inspect
import warnings
from dataclasses import dataclass, field

from numba import jit
from numba.core.errors import NumbaError
from numba.extending import is_jitted

from ..kernels.jit import LINKED, OPTIONS, Kernel


@dataclass
class Source:
    """One compiled variant: its assembly, the Python function, the types of its arguments, Numba's options; `own` is what
    the user wrote.
    """

    function: object
    assembly: str
    types: tuple
    options: dict = field(default_factory=dict)
    own: bool = True

    def array_layouts(self) -> dict[str, str]:
        """{name of an argument: C, F or A} for every array."""
        names = inspect.signature(self.function).parameters
        return {name: t.layout for name, t in zip(names, self.types, strict=False) if hasattr(t, "layout")}


def sources(function) -> list[Source]:
    """The compiled variants behind a function: of a dispatcher the one that was compiled last, of a kernel also what it is
    linked to, of a plain function the compiled functions that it names. Empty where there is none.
    """
    function = getattr(function, "direct", function)            # of two ways, the one that serves every shape
    if isinstance(function, Kernel):
        if function.dispatcher is None:
            return []
        names = inspect.signature(function.dispatcher.py_func).parameters
        return [_listed(function.dispatcher, own=False), *(_linked(name) for name in names if name in LINKED)]
    if is_jitted(function):
        return [_listed(function)] if function.signatures else []
    code = getattr(function, "__code__", None)
    named = [function.__globals__.get(name) for name in code.co_names] if code else []
    return [source for inner in named if is_jitted(inner) or isinstance(inner, Kernel) for source in sources(inner)]


def with_lines(source: Source) -> str:
    """The assembly of a compilation with debug information, for reading only; empty where that does not compile."""
    try:
        return _assembly(source.function, source.types, source.options | {"debug": True, "boundscheck": checked(source)})
    except (NumbaError, OSError):       # OSError: a function without a source file
        return ""


def checked(source: Source) -> bool:
    """Whether every index is compared with the bounds of its array."""
    from numba import config

    asked = source.options.get("boundscheck")
    return bool(config.BOUNDSCHECK if config.BOUNDSCHECK is not None else asked)


def _listed(dispatcher, own=True):
    signature = dispatcher.signatures[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # "Inspection disabled for cached code"
        assembly = dispatcher.inspect_asm(signature)
    options = dict(dispatcher.targetoptions)
    if "_ZN" not in assembly:
        assembly = _assembly(dispatcher.py_func, signature, options)
    return Source(dispatcher.py_func, assembly, tuple(signature), options, own)


@functools.cache
def _linked(name):
    linked = LINKED[name]
    assembly = _assembly(linked.function, linked.signature, OPTIONS)
    return Source(linked.function, assembly, tuple(linked.signature), OPTIONS, own=False)


def _assembly(function, signature, options):
    """The listing of a fresh compilation with the same types and options, kept in no cache."""
    options = {name: value for name, value in options.items() if name != "cache"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # what there is to warn of was said when it was compiled to run
        dispatcher = jit(**{"nopython": True} | options)(function)
        dispatcher.compile(tuple(signature))
    return dispatcher.inspect_asm(dispatcher.signatures[-1])
