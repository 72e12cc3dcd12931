"""What is known of a kernel before it is compiled: enough to build it for any GPU without having one."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KernelSpec:
    """A plain function, and how it wants to be compiled and launched.

    function: the kernel, as written or made by `specialize`; its name is the name of the machine code.
    signature: the types of its arguments, as text or as Numba's own.
    block: threads in a block.
    launch_bounds: (most threads in a block, blocks that must fit on a multiprocessor at a time); caps the registers.
    shared_bytes: shared memory whose size the launch gives (`shared.array(0, ...)`), besides what the kernel declares.
    """

    function: Callable
    signature: Any
    block: int
    launch_bounds: tuple[int, ...] = ()
    shared_bytes: int = 0

    def __post_init__(self):
        object.__setattr__(self, "launch_bounds", self.launch_bounds or (self.block,))

    @property
    def name(self) -> str:
        return self.function.__name__
