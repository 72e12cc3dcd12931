"""Why a loop is not as fast as it could be, read from its machine code: one sentence with a remedy for each reason.

A hint is a guess from what stands in the loop, not a proof; the first one is the likeliest to matter.
"""
import re

from .assembly import Loop
from .loop_facts import element, widest
from .machine_code import Source, checked

_CONVERSION = re.compile(r"^v?cvt(?:ss2sd|sd2ss|ps2pd|pd2ps|si2sd|dq2pd|qq2pd)")
_VECTOR_MATH = {"exp", "log", "tanh", "erf"}         # in kernels/simd_math.py
_REORDER = "fastmath={'contract', 'reassoc', 'nsz'}"


def hints(loop: Loop, facts: dict, source: Source) -> list[str]:
    """The reasons that apply, likeliest first; nothing for a loop in order."""
    scalar, ops = facts["register"] == "scalar", [i.op for i in loop.code]
    found = []
    if any(_CONVERSION.match(op) for op in ops) and not _all_double(source):
        found.append("float64 slips in: numbers are widened and rounded back. Write constants as np.float32(0.5), and keep "
                     "int * float32 and math on ints out of the loop")
    if facts["calls"]:
        ready = sorted(_VECTOR_MATH & {name.removesuffix("f") for name in facts["calls"]})
        found.append(f"{', '.join(facts['calls'])} is called for one number at a time"
                     + (f": minicnn.kernels.simd_math has {', '.join(ready)} for 16 at once" if ready else ""))
    if any(op.startswith(("idiv", "div")) for op in ops if not op.startswith(("divs", "divp"))):
        found.append("an integer is divided in every pass (// or %): count along instead, or divide outside the loop")
    collected = sum(op.startswith(("vinsertps", "vpinsr", "vmovhp")) for op in ops)
    if any(op.startswith(("vgather", "vscatter")) for op in ops) or (not facts["calls"] and collected > facts["arithmetic"]):
        found.append("numbers are gathered one by one: let the innermost loop run over the last axis, which is contiguous")
    if scalar and not facts["calls"]:
        found += _why_scalar(loop, ops, source)
    if facts["spill_loads"] + facts["spill_stores"] and not facts["calls"]:
        found.append(f"vectors go through the stack ({facts['spill_stores']} stored, {facts['spill_loads']} read a pass): more "
                     "are alive than there are registers, a smaller tile would fit")
    if scalar and not found:
        found.append("LLVM found no vectors: usual reasons are steps in memory other than one element, arrays that may overlap, "
                     "a branch")
    return found


def _why_scalar(loop, ops, source):
    """Reasons that keep LLVM from using vectors."""
    strided = [name for name, layout in source.array_layouts().items() if layout == "A"]
    found = []
    if checked(source):
        found.append("every index is checked against its bounds: compile without boundscheck")
    if strided:
        found.append(f"{', '.join(strided)} may have any strides (layout A): pass np.ascontiguousarray({strided[0]}), and the "
                     "kernel is compiled for contiguous memory")
    if any(op.startswith(("div", "vdiv")) for op in ops) and source.options.get("error_model") != "numpy":
        found.append("a division may raise ZeroDivisionError: compile with error_model='numpy'")
    if any(op.startswith("cmovs") or op.startswith("cmovns") or i.text.startswith("sarq $63")
           for op, i in zip(ops, loop.code, strict=True)):
        found.append("an index may be negative, which counts from the end: start range at 0 and add, or test the sign outside")
    if _stores_in_place(loop):
        found.append("a sum goes through memory in every pass (y[...] += ...): add up in a local variable, store once")
    if _one_chain(loop):
        found.append("one sum in strict order, each addition waits for the last: let the innermost loop run over independent "
                     f"outputs (channels), or allow another order with {_REORDER}")
    return found


def _all_double(source):
    dtypes = {str(getattr(t, "dtype", t)) for t in source.types} & {"float32", "float64"}
    return dtypes == {"float64"}


def _registers(operand):
    """The general registers in an operand by their 64-bit names: a write to eax or r8d changes rax or r8."""
    names = re.findall(r"%(\w+)", operand)
    return {re.sub(r"^e", "r", re.sub(r"^(r\d+)[dwb]$", r"\1", name)) for name in names}


def _written(loop):
    """Registers that change within the loop."""
    changed = set()
    for i in loop.code:
        if i.operands and i.memory != len(i.operands) - 1 and not i.op.startswith(("j", "cmp", "test", "ucomi", "vucomi")):
            changed |= _registers(i.operands[-1])
    return changed


def _stores_in_place(loop):
    """Whether one number is stored to an address that stays the same through the loop, the stack apart."""
    changed = _written(loop)
    return any(i.op in ("vmovss", "vmovsd", "movss", "movsd") and i.memory == 1 and "%rsp" not in i.operands[1]
               and not changed & _registers(i.operands[1]) for i in loop.code)


def _one_chain(loop):
    """Whether an addition takes what an addition of the pass before left: a register that the loop reads first and writes
    later.
    """
    changed, fresh = _written(loop), set()
    for i in loop.code:
        if not widest(i) or not i.operands[-1].startswith("%"):
            continue
        kept = i.operands if len(i.operands) == 2 or "231" in i.op else i.operands[:-1]     # which read the target too
        sums = element(i) and re.match(r"^v?(?:add|sub)|.*231", i.op)
        if sums and any(operand[1:] in changed - fresh for operand in kept):
            return True
        fresh.add(i.operands[-1][1:])
    return False
