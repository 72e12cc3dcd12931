"""Constants into a template: one kernel in the source, compiled for each tile and each layer shape with all extents known.

A template is a function with free names; `specialize(template, BM=128, ...)` gives the function in which

    BM                       is a number, and arithmetic on numbers is done
    if BM > 64: ...          is decided: only the branch taken is left
    for k in unroll(4): ...  is written out, with k a number
    EACH(x)                  calls the function that was given as EACH

Divisions by an extent become multiplications, and arrays in registers get constant indices. Unroll outer loops, and leave
the inner ones to the compiler: `range(8)` inside an unrolled loop becomes the same machine code, and a tile of 8 x 8 x 16
statements compiles in 5 s instead of 130.

The function keeps the line numbers of its text, which tracebacks show, and refers to the module of its template.
"""
import ast
import builtins
import copy
import inspect
import itertools
import linecache
import textwrap

_numbers = itertools.count()
_PLAIN = (int, bool)


def unroll(n):
    """Marks a loop to be written out; as it stands, it is `range(n)`."""
    return range(n)


def specialize(template, name=None, **constants):
    """The template with constants in the place of its free names: integers, or functions that it calls."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(template)))
    function = tree.body[0]
    function.decorator_list, function.name = [], name or function.name
    functions = {key: value for key, value in constants.items() if callable(value)}
    numbers = {key: value for key, value in constants.items() if key not in functions}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and node.id in constants:
            raise ValueError(f"{template.__name__} line {node.lineno}: assigns to {node.id}, which is a constant")
    function.body = _Fold().statements(_Substitute(numbers).visit(function).body) or [ast.Pass()]
    text = ast.unparse(ast.fix_missing_locations(tree))
    place = f"<{function.name} {next(_numbers)}>"
    linecache.cache[place] = len(text), None, text.splitlines(keepends=True), place
    # The module's own namespace where that will do: what a test puts in the place of a name is then seen here, too.
    namespace = {**template.__globals__, **functions} if functions else template.__globals__
    if missing := sorted(_free(function) - namespace.keys() - vars(builtins).keys()):
        raise ValueError(f"{template.__name__}: no value for {', '.join(missing)}")
    made = {}
    exec(compile(text, place, "exec"), namespace, made)
    return made[function.name]


def _free(function):
    """The names that a function reads and never sets."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    known = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    return read - known - {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}


class _Substitute(ast.NodeTransformer):
    """Names that are read, replaced by numbers."""

    def __init__(self, numbers):
        self.numbers = numbers

    def visit_Name(self, node):
        known = isinstance(node.ctx, ast.Load) and node.id in self.numbers
        return ast.copy_location(ast.Constant(self.numbers[node.id]), node) if known else node


class _Fold(ast.NodeTransformer):
    """Arithmetic on integers done, branches decided, loops written out."""

    def statements(self, body):
        """The statements that are left of some."""
        found = []
        for statement in body:
            left = self.visit(statement)
            found += left if isinstance(left, list) else [left]
        return found

    def visit_BinOp(self, node):
        self.generic_visit(node)
        return _value(node) if _plain(node.left) and _plain(node.right) and not isinstance(node.op, ast.Div) else node

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        return _value(node) if _plain(node.operand) else node

    def visit_Compare(self, node):
        self.generic_visit(node)
        return _value(node) if _plain(node.left) and all(map(_plain, node.comparators)) else node

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        decides = isinstance(node.op, ast.Or)                   # the truth that ends `a or b or c`, or `a and b and c`
        left = []
        for value in node.values:
            if not _plain(value):
                left.append(value)
            elif bool(value.value) == decides:
                left.append(value)
                break
        node.values = left or node.values[-1:]
        return node if len(node.values) > 1 else node.values[0]

    def visit_IfExp(self, node):
        self.generic_visit(node)
        return (node.body if node.test.value else node.orelse) if _plain(node.test) else node

    def visit_If(self, node):
        node.test = self.visit(node.test)
        if _plain(node.test):
            return self.statements(node.body if node.test.value else node.orelse)
        node.body, node.orelse = self.statements(node.body) or [ast.Pass()], self.statements(node.orelse)
        return node

    def visit_For(self, node):
        if isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Name) and node.iter.func.id == "unroll":
            times = self.visit(node.iter.args[0])
            if not _plain(times):
                raise ValueError(f"unroll({ast.unparse(times)}) needs a number that is known")
            return [left for k in range(times.value) for left in self.statements(
                [_Substitute({node.target.id: k}).visit(copy.deepcopy(statement)) for statement in node.body])]
        node.iter = self.visit(node.iter)
        node.body = self.statements(node.body) or [ast.Pass()]
        return node


def _plain(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, _PLAIN)


def _value(node):
    """The constant that an expression of constants has as its value."""
    expression = ast.fix_missing_locations(ast.Expression(node))
    return ast.copy_location(ast.Constant(eval(compile(expression, "constant", "eval"))), node)
