"""The kernels of the cuda column, and the shapes that its tests give them; shared by the simulator's and the compiler's tests."""
import importlib

from kernel_cases import PLAIN, POOLS, build, windows

from minicnn import kernels

FAMILIES = ("activation", "update", "softmax", "loss", "dropout", "pool2d", "batchnorm")
NAMES = [name for name, module in kernels.COLUMNS["cpu"].items() if module.removesuffix("_cpu") in FAMILIES]

MORE_PLAIN = [
    {"N": 2, "H": 1, "W": 3, "C": 4, "K": 4, "E": 64},
    {"N": 5, "H": 3, "W": 3, "C": 40, "K": 31, "E": 65},
    {"N": 6, "H": 7, "W": 2, "C": 2, "K": 65, "E": 130},
    {"N": 9, "H": 3, "W": 2, "C": 5, "K": 2, "E": 12},
]
MORE_POOLS = [
    windows(4, 4, 2, 2, (2, 2), N=3, C=4),
    windows(6, 5, 2, 2, (2, 2), N=2, C=8),                      # a row and a column that no window reaches
    windows(7, 7, 3, 3, (2, 2), 1, 1, 1, 1, N=2, C=12),
    windows(5, 5, 5, 5, N=2, C=20),
    windows(3, 2, 3, 2, (50, 2**31 - 1), N=2, C=3),             # one window, with a stride that nobody takes
]


def shapes(name):
    """At least eight shapes of a kernel."""
    return POOLS + MORE_POOLS if kernels.SPECS[name].windows else PLAIN + MORE_PLAIN


def kernel(name):
    """The kernel of the cuda column."""
    module = kernels.COLUMNS["cpu"][name].removesuffix("_cpu") + "_cuda"
    return getattr(importlib.import_module(f"minicnn.kernels.{module}"), name)


COMPILED_PLAIN = [PLAIN[3], MORE_PLAIN[0]]          # 33 and 4 channels: the sums of channels differ
COMPILED_POOLS = [windows(4, 4, 2, 2, (2, 2), N=3, C=4), windows(7, 7, 3, 3, (2, 2), 1, 1, 1, 1, N=2, C=12),
                  windows(7, 7, 3, 3, (2, 2), 1, 1, 1, 1, N=2, C=3)]


def variants():
    """{name: specification} of all machine code that the compiler's tests look at; found by planning, without a GPU."""
    found = {}
    for name in NAMES:
        for shape in COMPILED_POOLS if kernels.SPECS[name].windows else COMPILED_PLAIN:
            for launch in kernel(name).plan(*build(name, shape)):
                if found.setdefault(launch.spec.name, launch.spec) != launch.spec:
                    raise ValueError(f"two kernels are called {launch.spec.name}")
    return found
