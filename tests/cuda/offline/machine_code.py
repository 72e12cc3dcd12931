"""A kernel's machine code for some GPU, made without one: what it uses, and its instructions.

Numba and NVVM make PTX of the kernel, nvJitLink makes the machine code and says how many registers it took; nvdisasm
writes that out. All three come as Python packages and need no driver.
"""
import collections
import functools
import re
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import nvidia
from cuda.core import Linker, LinkerOptions, ObjectCode
from numba import cuda
from numba.cuda import dispatcher

ARCHITECTURES = {"sm_90a": (9, 0, "a"), "sm_89": (8, 0), "sm_80": (8, 0)}     # of which PTX each is made: two for three GPUs
INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)")
USED = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
FLOAT64 = re.compile(r"^(D(FMA|MUL|ADD|SETP|MNMX)\b|MUFU\.(RCP|RSQ)64H|[FI]2F\.?\S*F64|F2I\S*F64)")


def measured(spec, architecture):
    """{registers, stack, spills, float64, local, wide}: what a budget speaks of, of one kernel on one architecture."""
    linker = Linker(ObjectCode.from_ptx(ptx(spec, ARCHITECTURES[architecture])),
                    options=LinkerOptions(arch=architecture, ptxas_options="-v"))
    code, log = bytes(linker.link("cubin").code), linker.get_info_log()
    stack, stores, loads = map(sum, zip(*[map(int, found) for found in USED.findall(log)], strict=True))
    found = instructions(code)
    return {"registers": max(map(int, re.findall(r"Used (\d+) registers", log))), "stack": stack, "spills": stores + loads,
            "float64": sum(n for name, n in found.items() if FLOAT64.match(name)),
            "local": sum(n for name, n in found.items() if name.startswith(("LDL", "STL"))),
            "wide": sorted({name for name in found if name.endswith(".128")})}


@functools.cache
def ptx(spec, cc):
    """The kernel as PTX for GPUs from a compute capability on."""
    # Functions that a kernel calls are compiled for the GPU at hand, even by `cuda.compile`: let there be one.
    with mock.patch.object(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=cc)):
        text, _ = cuda.compile(spec.function, spec.signature, device=False, abi="numba", cc=cc, output="ptx",
                               launch_bounds=spec.launch_bounds)
    return text.encode()


def instructions(code):
    """How often each instruction stands in the machine code."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        text = subprocess.run([disassembler(), "-c", file.name], capture_output=True, text=True, check=True).stdout
    return collections.Counter(match[1] for match in map(INSTRUCTION.match, text.splitlines()) if match)


def disassembler():
    """nvdisasm, as its package brings it."""
    found = [path for folder in nvidia.__path__ for path in Path(folder).glob("**/nvdisasm")]
    if not found:
        raise FileNotFoundError(f"no nvdisasm below {list(nvidia.__path__)}: pip install nvidia-cuda-nvdisasm")
    return found[0]
