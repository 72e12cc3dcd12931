"""Functions that are compiled as parts of others: typed and translated once, optimized only where they end up.

Numba treats each function that another one calls as a public one: it optimizes its code twice, makes machine code of it, and
writes two more functions around it, for callers from Python and from C. Then the code is copied into every caller, and all
of it is done again there; for helpers of helpers, at each level. Here a part's code is only linked together with that of its
own parts, and the kernel at the top is optimized once, as a whole. That makes the first use of a net several times shorter.
"""
from numba import config, njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _NoEngine:
    """In place of Numba's code generator, where it would write into the machine code that there is none of."""

    @staticmethod
    def set_env(name, env):
        """A part has no use for constants that are Python objects."""


class _Parts(JITCodeLibrary):
    """The code of a part and of its own parts, not optimized, for other libraries to link."""

    codegen = _NoEngine

    def finalize(self):
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()
        self._finalized = True


class _PartCompiler(Compiler):
    def define_pipelines(self):
        self.state.library = _Parts(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return super().define_pipelines()


class _Part:
    """A function that compiled code calls; Python may call it too, and then has it compiled for itself alone."""

    def __init__(self, function, options):
        self.__name__, self.__doc__, self.__module__ = function.__name__, function.__doc__, function.__module__
        self.py_func, self.options, self.alone = function, options, None
        compiled = njit(pipeline_class=_PartCompiler, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)
        self.dispatcher = compiled(function)
        self._numba_type_ = self.dispatcher._numba_type_            # Numba takes a global that has it for a dispatcher

    def __call__(self, *args):
        self.alone = self.alone or njit(**self.options)(self.py_func)
        return self.alone(*args)


def part(function, **options):
    """The function, to be compiled into others with these options of Numba's."""
    return function if config.DISABLE_JIT else _Part(function, options)
