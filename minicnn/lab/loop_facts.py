"""What one loop of machine code does: vector width, multiply-adds, traffic with memory, spills; and which loop is hot.

Registers: xmm 128 bits, ymm 256, zmm 512; an instruction that ends in `ps` or `pd` works on all lanes of its widest
register, in `ss` or `sd` on one. A spill is a vector register that is stored to, or read from, a fixed place of the stack.
"""
import re

from .assembly import Loop

_FUSED = re.compile(r"^vfn?m(?:add|sub)(?:132|213|231)([ps][sd])$")
_ARITHMETIC = re.compile(r"^v?(?:add|sub|mul|div|sqrt|max|min|addsub|hadd|dp|round|rndscale|rcp|rsqrt|rcp14|rsqrt14|"
                         r"cmp\w*?|u?comi)([ps][sd])$")
_VECTOR_REGISTER = re.compile(r"%([xyz])mm\d+")
_STACK = re.compile(r"^-?\d*\(%(rsp|rbp)\)")
_PLUMBING = re.compile(r"^(?:NRT_|Py|_Py|numba_|printf|mem(?:cpy|set|move)$|_ZN)")
BITS = {"": 0, "x": 128, "y": 256, "z": 512}
INSIDE = 16         # how often a loop is taken to run for each pass of the loop around it
SLOW = 16           # a call of expf and the like, or a division of integers, in numbers at work


def widest(instruction) -> str:
    """Letter of the widest vector register among the operands: x, y, z, or none."""
    return max((m for operand in instruction.operands for m in _VECTOR_REGISTER.findall(operand)), default="")


def element(instruction) -> str:
    """ps, pd, ss or sd for floating point arithmetic and comparisons, else nothing."""
    match = _FUSED.match(instruction.op) or _ARITHMETIC.match(instruction.op)
    return match[1] if match else ""


def lanes(instruction) -> int:
    """How many numbers an arithmetic instruction works on; 0 for every other instruction."""
    kind = element(instruction)
    if not kind or kind[0] == "s":
        return len(kind) // 2
    return BITS[widest(instruction)] // (32 if kind == "ps" else 64)


def math_call(instruction) -> str:
    """The symbol of a call that computes (expf, pow, ...); nothing for Numba's and Python's own."""
    return "" if _PLUMBING.match(instruction.calls) else instruction.calls


def width(loop: Loop) -> float:
    """How many numbers a loop has in work: the lanes of all registers that its arithmetic writes. Unrolling adds nothing to
    that, so a large register tile counts more than a small one that LLVM has unrolled.
    """
    targets = {}
    for i in loop.code:
        if lanes(i):
            targets[i.operands[-1]] = max(lanes(i), targets.get(i.operands[-1], 0))
    slow = sum(bool(math_call(i)) or i.op.startswith(("idiv", "div")) and not widest(i) for i in loop.code)
    return sum(targets.values()) + SLOW * slow


def heat(loop: Loop) -> tuple:
    """What the hot loop has most of: width, where each loop around it counts as INSIDE passes; then arithmetic among its
    instructions (of a loop with and without masks, the one without); then vectors, for functions that only copy.
    """
    arithmetic, vectors = (sum(bool(test(i)) for i in loop.code) for test in (lanes, widest))
    return width(loop) * INSIDE ** loop.depth, arithmetic / len(loop.code), vectors * INSIDE ** loop.depth


def hot(loops: list[Loop]) -> Loop | None:
    """The loop that is likely to take most of the time; None where none has a vector register. Nothing is measured: how
    often a loop runs is not in the machine code.
    """
    return max((loop for loop in loops if any(heat(loop))), key=heat, default=None)


def facts(loop: Loop) -> dict:
    """The numbers of the X-ray, by name; `register` is the widest that computes, `lanes` what fits in it."""
    arithmetic = [i for i in loop.code if lanes(i)]
    packed = [i for i in arithmetic if element(i)[0] == "p"]
    fused = [i for i in arithmetic if _FUSED.match(i.op)]
    kinds = [element(i) for i in arithmetic]
    double = sum(kind[1] == "d" for kind in kinds) * 2 > len(kinds)
    moves = [i for i in loop.code if widest(i) and not i.op.endswith(("ss", "sd"))]
    calls = sorted({math_call(i) for i in loop.code} - {""})
    wide = packed if arithmetic or calls else moves             # of a loop that only copies, the moves
    register = max((widest(i) for i in wide), default="")       # a wide loop may keep an odd scalar instruction
    loads, stores, spill_loads, spill_stores, reloads = _traffic(loop)
    return {
        "instructions": len(loop.code),
        "arithmetic": len(arithmetic),
        "fma": len(fused),
        "register": f"{register}mm" if register else "scalar",
        "lanes": BITS[register] // (64 if double else 32) if register else 1,
        "element": "float64" if double else "float32",
        "vector_share": len(packed) / len(loop.code),
        "loads": loads,
        "stores": stores,
        "loads_per_fma": loads / len(fused) if fused else None,
        "stores_per_fma": stores / len(fused) if fused else None,
        "spill_loads": spill_loads,
        "spill_stores": spill_stores,
        "address_reloads": reloads,
        "calls": calls,
    }


def _traffic(loop):
    """(loads, stores of floating point registers, those from and to the stack, integers read from the stack)."""
    loads = stores = spill_loads = spill_stores = reloads = 0
    for i in loop.code:
        place = i.memory
        if place is None:
            continue
        stack = _STACK.match(i.operands[place])
        on_stack = stack is not None and (stack[1] == "rsp" or loop.framed)
        writes = place == len(i.operands) - 1 and len(i.operands) > 1 and not i.op.startswith(("cmp", "test", "ucomi", "vucomi"))
        if not widest(i):
            reloads += on_stack and not writes
        elif on_stack:
            spill_stores, spill_loads = spill_stores + writes, spill_loads + (not writes)
        else:
            stores, loads = stores + writes, loads + (not writes)
    return loads, stores, spill_loads, spill_stores, reloads
