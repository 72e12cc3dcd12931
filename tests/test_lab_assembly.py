"""Assembly written by hand: loops are found wherever their blocks lie, and instructions are counted right on any machine."""
import pytest
from numba import types

from minicnn.lab.assembly import loops
from minicnn.lab.hints import hints
from minicnn.lab.loop_facts import facts, hot
from minicnn.lab.machine_code import Source


def assembly(*lines):
    """A function `work` of these lines; labels stand alone, operands behind two spaces become a tab."""
    body = [line if line.endswith(":") else "\t" + line.replace("  ", "\t") for line in lines]
    return "\n".join(["_ZN4workE:", *body, ".Lfunc_end0:", "_ZN7cpython4workE:", ".LBB9_1:", "\tvaddps\t%ymm0, %ymm1, %ymm1",
                      "\tjmp\t.LBB9_1", ".Lfunc_end9:"])


def source(types=(), options=None):
    return Source(lambda x, y: None, "", types, options or {})


def shape(text):
    return sorted((loop.depth, tuple(i.op for i in loop.code)) for loop in loops(text))


def test_nested_loops_own_their_instructions_alone():
    text = assembly(".LBB0_1:", "movl  $1, %eax", ".LBB0_2:", "vaddss  %xmm0, %xmm1, %xmm1", "jne  .LBB0_2", "incq  %rbx",
                    "jne  .LBB0_1", "retq")
    assert shape(text) == [(1, ("movl", "incq", "jne")), (2, ("vaddss", "jne"))]


def test_a_loop_whose_parts_lie_apart():
    """The middle of the loop stands behind the return, and is reached and left by jumps."""
    text = assembly("xorl  %eax, %eax", ".LBB0_1:", "incq  %rax", "je  .LBB0_3", ".LBB0_2:", "cmpq  %rax, %rbx", "jne  .LBB0_1",
                    "retq", ".LBB0_3:", "vmulss  %xmm0, %xmm1, %xmm1", "jmp  .LBB0_2")
    assert shape(text) == [(1, ("incq", "je", "cmpq", "jne", "vmulss", "jmp"))]


def test_code_between_the_blocks_of_a_loop_is_not_in_it():
    text = assembly("jmp  .LBB0_2", ".LBB0_1:", "incq  %rax", "jmp  .LBB0_2", ".LBB0_9:", "vdivss  %xmm0, %xmm1, %xmm1", "retq",
                    ".LBB0_2:", "je  .LBB0_9", "jmp  .LBB0_1")
    assert shape(text) == [(1, ("incq", "jmp", "je", "jmp"))]


def test_a_jump_through_a_table_closes_a_loop():
    text = assembly(".LBB0_1:", "movabsq  $.LJTI0_0, %rsi", "jmpq  *(%rsi,%rax,8)", ".LBB0_2:", "vaddss  %xmm0, %xmm1, %xmm1",
                    "jmp  .LBB0_1", ".LBB0_3:", "retq")
    text += "\n.LJTI0_0:\n\t.quad\t.LBB0_2\n\t.quad\t.LBB0_3\n"
    assert shape(text) == [(1, ("movabsq", "jmpq", "vaddss", "jmp"))]


def test_a_function_called_from_a_loop_is_inside_it():
    text = assembly(".LBB0_1:", "movabsq  $_ZN5innerE, %rax", "callq  *%rax", "jne  .LBB0_1", "retq")
    text += "\n_ZN5innerE:\n.LBB1_1:\n\tvaddss\t%xmm0, %xmm1, %xmm1\n\tjne\t.LBB1_1\n\tretq\n.Lfunc_end1:\n"
    assert [(loop.function, loop.depth) for loop in loops(text)] == [("_ZN4workE", 1), ("_ZN5innerE", 2)]


def test_a_straight_function_has_no_loop():
    assert loops(assembly("vaddps  %ymm0, %ymm1, %ymm1", "retq")) == []


def test_the_deeper_loop_is_hot_and_of_equals_the_wider():
    shallow = ["vaddps  %ymm0, %ymm1, %ymm1", "jne  .LBB0_8"]
    nest = [".LBB0_1:", "incq  %rax", ".LBB0_2:", "vaddss  %xmm0, %xmm1, %xmm1", "jne  .LBB0_2", "jne  .LBB0_1"]
    text = assembly(*nest, ".LBB0_8:", *shallow)
    assert facts(hot(loops(text)))["register"] == "scalar"
    text = assembly(".LBB0_1:", "vaddss  %xmm0, %xmm1, %xmm1", "jne  .LBB0_1", ".LBB0_8:", *shallow)
    assert facts(hot(loops(text)))["register"] == "ymm"
    assert hot(loops(assembly(".LBB0_1:", "incq  %rax", "jne  .LBB0_1"))) is None


def test_unrolling_does_not_make_a_small_tile_the_hot_one():
    small = ["vfmadd231ps  (%rax), %ymm0, %ymm1", "vfmadd231ps  (%rbx), %ymm0, %ymm2"] * 4
    tile = [f"vfmadd231ps  (%rax), %ymm0, %ymm{k}" for k in range(4, 10)]
    text = assembly(".LBB0_1:", *small, "jne  .LBB0_1", ".LBB0_2:", *tile, "jne  .LBB0_2")
    assert facts(hot(loops(text)))["fma"] == 6


TILE = assembly(
    "pushq  %rbp", "movq  %rsp, %rbp", ".LBB0_1:", "vmovups  (%rdx), %zmm0", "vmovups  64(%rsp), %zmm5", "leaq  8(%rsp), %rcx",
    "vbroadcastss  (%rcx,%r8), %zmm1", "vfmadd231ps  %zmm0, %zmm1, %zmm2", "vfmadd231ps  128(%rbp), %zmm1, %zmm3 {%k1} {z}",
    "vfmadd231ps  4(%rax){1to16}, %zmm1, %zmm4", "vmovaps  %zmm3, -64(%rbp)", "vmovups  %zmm2, (%rdi,%r8,4)",
    "movq  16(%rsp), %rbx", "prefetcht0  (%rdi)", "cmpq  $1, %rax", "vmovups  8(%rsp,%rax,4), %zmm6", "jne  .LBB0_1")


def test_counts_of_a_tile_of_avx512():
    found = facts(hot(loops(TILE)))
    assert (found["register"], found["lanes"], found["element"]) == ("zmm", 16, "float32")
    assert (found["instructions"], found["arithmetic"], found["fma"]) == (14, 3, 3)
    assert (found["loads"], found["stores"]) == (4, 1)          # %rsp with an index is an array on the stack, not a spill
    assert (found["spill_loads"], found["spill_stores"], found["address_reloads"]) == (2, 1, 1)
    assert found["vector_share"] == 3 / 14 and found["loads_per_fma"] == 4 / 3


def test_rbp_is_the_stack_only_where_it_was_made_so():
    found = facts(hot(loops(TILE.replace("movq\t%rsp, %rbp", "movq\t%rdi, %rbp"))))
    assert (found["spill_loads"], found["spill_stores"], found["loads"], found["stores"]) == (1, 0, 5, 2)


@pytest.mark.parametrize("op, expected", [
    ("vaddps  %ymm0, %ymm1, %ymm1", ("ymm", 8, "float32", 0)), ("addps  %xmm0, %xmm1", ("xmm", 4, "float32", 0)),
    ("vmulpd  %zmm0, %zmm1, %zmm1", ("zmm", 8, "float64", 0)),
    ("vfnmadd213ss  (%rax), %xmm0, %xmm1", ("scalar", 1, "float32", 1)),
    ("vfmsub132pd  %ymm0, %ymm1, %ymm1", ("ymm", 4, "float64", 1)), ("vmaxps  %ymm0, %ymm1, %ymm1", ("ymm", 8, "float32", 0)),
    ("vcmpltps  %zmm0, %zmm1, %k1", ("zmm", 16, "float32", 0)), ("vmovups  %ymm0, (%rax)", ("ymm", 8, "float32", 0)),
])
def test_instructions_by_name(op, expected):
    found = facts(hot(loops(assembly(".LBB0_1:", op, "jne  .LBB0_1"))))
    assert (found["register"], found["lanes"], found["element"], found["fma"]) == expected


@pytest.mark.parametrize("reason, lines", [
    ("strict order", ["vaddss  (%rax), %xmm0, %xmm0", "addq  $4, %rax"]),
    ("strict order", ["vaddss  (%rax), %xmm0, %xmm1", "vaddss  4(%rax), %xmm1, %xmm0", "addq  $8, %rax"]),
    ("strict order", ["vmovss  (%rax), %xmm1", "vfmadd231ss  (%rbx), %xmm1, %xmm0", "addq  $4, %rax"]),
    ("through memory", ["vmovss  (%rax), %xmm1", "vmovss  %xmm1, (%rbx)", "addq  $4, %rax"]),
    ("negative", ["sarq  $63, %rdi", "vmulss  (%rdi), %xmm0, %xmm1"]),
    ("an integer is divided", ["idivq  %r11", "vmulss  (%rax), %xmm0, %xmm1"]),
    ("ZeroDivisionError", ["vdivss  (%rax), %xmm0, %xmm1"]),
    ("float64", ["vcvtss2sd  (%rax), %xmm0, %xmm0", "vmulsd  %xmm0, %xmm2, %xmm1"]),
    ("gathered", ["vgatherdps  %ymm3, (%rax,%ymm1,4), %ymm2", "vaddps  %ymm2, %ymm0, %ymm1"]),
    ("powf", ["movabsq  $powf, %rax", "callq  *%rax"]),
    ("exp for 16 at once", ["callq  expf@PLT"]),
    ("registers", ["vmovups  %ymm0, 32(%rsp)", "vaddps  32(%rsp), %ymm1, %ymm2"]),
    ("LLVM found no vectors", ["vmulss  (%rax), %xmm0, %xmm1", "vmovss  %xmm1, (%rbx)", "addq  %rdx, %rax", "addq  %rdx, %rbx"]),
])
def test_a_reason_is_read_from_the_loop_and_only_that_one(reason, lines):
    loop = hot(loops(assembly(".LBB0_1:", *lines, "jne  .LBB0_1")))
    found = hints(loop, facts(loop), source())
    assert len(found) == 1 and reason in found[0]


def test_no_hint_where_nothing_is_wrong():
    axpy = ["vmulps  (%rax,%rcx), %ymm0, %ymm1", "vaddps  (%rbx,%rcx), %ymm1, %ymm1", "vmovups  %ymm1, (%rbx,%rcx)",
            "addq  $32, %rcx"]
    loop = hot(loops(assembly(".LBB0_1:", *axpy, "jne  .LBB0_1")))
    assert hints(loop, facts(loop), source()) == []


def test_division_as_numpy_has_it_is_no_reason():
    loop = hot(loops(assembly(".LBB0_1:", "vdivss  (%rax), %xmm0, %xmm1", "jne  .LBB0_1")))
    assert "ZeroDivisionError" not in hints(loop, facts(loop), source(options={"error_model": "numpy"}))[0]


def test_float64_is_no_leak_where_all_arrays_are_float64():
    loop = hot(loops(assembly(".LBB0_1:", "vcvtdq2pd  (%rax), %ymm0", "vmulpd  %ymm0, %ymm2, %ymm1", "jne  .LBB0_1")))
    assert "float64" in hints(loop, facts(loop), source((types.float32[::1], types.float64)))[0]
    assert hints(loop, facts(loop), source((types.float64[::1], types.float64[::1]))) == []
