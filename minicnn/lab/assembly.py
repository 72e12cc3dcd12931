"""Reads x86-64 assembly as LLVM writes it (AT&T: sources first, destination last): functions, basic blocks, loops.

A function is cut into blocks at its labels and behind its jumps. A loop is a set of blocks from each of which all others
can be reached (a strongly connected component); with the edges into its first block cut, the loops inside it appear the
same way. That holds wherever LLVM has placed the blocks, which a search for backward jumps alone would not.
"""
import re
from dataclasses import dataclass, field

_LABEL = re.compile(r"^([\w.$]+):")
_TARGET = re.compile(r"^\.LBB\w+$")
_LOC = re.compile(r"^\s*\.loc\s+(\d+)\s+(\d+)")
_FILE = re.compile(r'^\s*\.file\s+(\d+)\s+(?:"[^"]*"\s+)?"([^"]*)"')
_SYMBOL = re.compile(r"^movabsq\s+\$([A-Za-z_]\w*), (%\w+)")
_WRAPPERS = ("_ZN7cpython", "cfunc.", "NRT_", "_ZN08NumbaEnv")     # what Numba puts around every function


@dataclass
class Instruction:
    """One instruction; `line` is (file, line) where the assembly says it, `calls` the symbol that a call goes to."""

    op: str
    operands: list[str]
    text: str
    line: tuple[str, int] | None = None
    calls: str = ""

    @property
    def memory(self) -> int | None:
        """Place of the operand in memory; None for registers only, lea, nop, prefetch and jumps."""
        if self.op.startswith(("lea", "nop", "prefetch", "j", "call")):
            return None
        return next((k for k, operand in enumerate(self.operands) if "(" in operand), None)


@dataclass
class Block:
    """Instructions that run one after the other; `next` are the blocks that may follow."""

    code: list[Instruction] = field(default_factory=list)
    next: set[int] = field(default_factory=set)


@dataclass
class Loop:
    """What a loop runs by itself, without the loops inside it; depth 1 has no loop around it."""

    function: str
    depth: int
    code: list[Instruction]
    framed: bool        # rbp points into the stack


def loops(text: str) -> list[Loop]:
    """All loops of the functions in an assembly; a function that is called from a loop counts as inside that loop."""
    functions, tables = _read(text)
    flows = {name: _blocks(lines, tables) for name, lines in functions.items()}
    found, calls = {}, {}
    for name, blocks in flows.items():
        found[name] = list(_nest(set(range(len(blocks))), {k: set(b.next) for k, b in enumerate(blocks)}, 1))
        inside = {k: depth for own, depth in found[name] for k in own}
        calls[name] = [(i.calls, inside.get(k, 0)) for k, b in enumerate(blocks) for i in b.code if i.calls in flows]
    base = dict.fromkeys(flows, 0)
    for _ in range(4):                      # chains of calls are short, and recursion must end
        for name, sites in calls.items():
            for callee, depth in sites:
                base[callee] = max(base[callee], base[name] + depth) if callee != name else base[callee]
    answer = []
    for name, blocks in flows.items():
        framed = any(i.text == "movq %rsp, %rbp" for b in blocks for i in b.code)
        for own, depth in found[name]:
            code = [i for k in sorted(own) for i in blocks[k].code]
            answer.append(Loop(name, depth + base[name], code, framed))
    return answer


def _read(text):
    """({function: its lines, labels as str and instructions}, {jump table: its labels})."""
    functions, tables, files = {}, {}, {}
    current, table, line = None, None, None
    for raw in text.splitlines():
        label = _LABEL.match(raw)
        if label:
            name = label[1]
            if name.startswith(".LJTI"):
                table = tables.setdefault(name, [])
            elif _TARGET.match(name):
                if current is not None:
                    current.append(name)
            elif name.startswith(".Lfunc_end"):
                current = None
            elif not name.startswith((".L", *_WRAPPERS)):
                current, line = functions.setdefault(name, []), None
        elif place := _FILE.match(raw):
            files[place[1]] = place[2]
        elif place := _LOC.match(raw):
            line = (files.get(place[1], ""), int(place[2])) if place[2] != "0" else None
        elif table is not None and (entry := re.match(r"\s*\.(?:quad|long)\s+(\.LBB\w+)", raw)):
            table.append(entry[1])
        elif current is not None and (words := raw.split("#")[0].strip()) and not words.startswith("."):
            current.append(_instruction(words, line))
    return {name: lines for name, lines in functions.items() if lines}, tables


def _instruction(words, line):
    op, _, rest = words.partition("\t")
    operands = re.split(r",\s*(?![^()]*\))", rest.strip()) if rest.strip() else []
    return Instruction(op.strip(), operands, f"{op} {', '.join(operands)}".strip(), line)


def _blocks(lines, tables):
    """The blocks of a function in their order, with what may follow each, and calls resolved to symbols."""
    blocks, start, holds = [Block()], {}, {}
    for item in lines:
        if isinstance(item, str):
            if blocks[-1].code:
                blocks.append(Block())
            start[item] = len(blocks) - 1
            continue
        blocks[-1].code.append(item)
        if symbol := _SYMBOL.match(item.text):
            holds[symbol[2]] = symbol[1]
        elif item.op.startswith("call"):
            target = item.operands[0].lstrip("*")
            item.calls = holds.get(target, "") if target.startswith("%") else target.removesuffix("@PLT")
        if item.op.startswith(("j", "ret", "ud2")):
            blocks.append(Block())
    everywhere = {label for labels in tables.values() for label in labels if label in start}
    for k, block in enumerate(blocks):
        last = block.code[-1] if block.code else None
        if last is None or not last.op.startswith(("jmp", "ret", "ud2")):
            block.next |= {k + 1} if k + 1 < len(blocks) else set()
        if last is not None and last.op.startswith("j"):
            if last.operands[0] in start:
                block.next.add(start[last.operands[0]])
            elif last.operands[0].startswith("*"):
                named = {label for name, labels in tables.items() for label in labels
                         if any(name in operand for i in block.code for operand in i.operands)}
                block.next |= {start[label] for label in named & start.keys() or everywhere}
    return blocks


def _nest(nodes, edges, depth):
    """Yields (blocks of a loop that are in no loop inside it, depth), outer loops first."""
    for part in _components(nodes, edges):
        first = min(part)
        if len(part) == 1 and first not in edges[first]:
            continue
        entered = {k for k in part if any(k in edges[other] for other in nodes - part)} or {first}
        head = min(entered)
        inner = {k: (edges[k] & part) - {head} for k in part}
        below = list(_nest(part, inner, depth + 1))
        covered = set().union(*(own for own, _ in below)) if below else set()
        yield part - covered, depth
        yield from below


def _components(nodes, edges):
    """Strongly connected components: in the order in which a search ends, follow the edges backwards."""
    order, seen = [], set()
    for root in sorted(nodes):
        stack = [(root, iter(edges[root] & nodes))] if root not in seen else []
        seen.add(root)
        while stack:
            node, followers = stack[-1]
            fresh = next((k for k in followers if k not in seen), None)
            if fresh is None:
                order.append(node)
                stack.pop()
            else:
                seen.add(fresh)
                stack.append((fresh, iter(edges[fresh] & nodes)))
    back = {k: set() for k in nodes}
    for k in nodes:
        for follower in edges[k] & nodes:
            back[follower].add(k)
    left = set(nodes)
    while order:
        root = order.pop()
        if root not in left:
            continue
        part, todo = set(), [root]
        left.discard(root)
        while todo:
            node = todo.pop()
            part.add(node)
            todo += (fresh := back[node] & left)
            left -= fresh
        yield part
