"""Two ways to compute one kernel of the cpu column, and which of them a call takes.

The direct way serves every shape and is exact on small integers. The other one is compiled when a shape first wants it,
and never under `kernels.use(exact=True)`. What is chosen depends on the shape of one image only, never on N.
"""
from .jit import Kernel


class Choice:
    """A kernel that calls `other` where `wanted(*args)` says so, and `direct` elsewhere."""

    def __init__(self, direct: Kernel, other: Kernel, wanted):
        self.direct, self.other, self.wanted = direct, other, wanted
        self.spec, self.__signature__ = direct.spec, direct.__signature__
        self.__name__ = self.__qualname__ = direct.__name__
        self.__doc__, self.__module__ = direct.__doc__, direct.__module__

    def __call__(self, *args, **named):
        if named:
            args = self.__signature__.bind(*args, **named).args
        self.chosen(args)(*args)

    def chosen(self, args) -> Kernel:
        """The kernel that a call with these arguments runs."""
        try:
            return self.other if self.wanted(*args) else self.direct
        except (TypeError, ValueError, AttributeError):     # no such arguments: `direct` finds the words
            return self.direct


def unless(other: Kernel, wanted):
    """Decorates the direct kernel: `other` runs where wanted(*args)."""
    return lambda direct: Choice(direct, other, wanted)
