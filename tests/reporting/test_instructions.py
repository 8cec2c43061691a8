"""What instructions are for."""

from __future__ import annotations

import pytest

from lowbit.reporting.instructions import Instruction, loop_work


def loop(*lines: str) -> list[Instruction]:
    return [Instruction(i, *[*line.split(None, 1), ""][:2]) for i, line in enumerate(lines)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vpmaddubsw %ymm0,%ymm1,%ymm2", "multiply"),
        ("vpdpbusd (%rax),%zmm1,%zmm2", "multiply"),
        ("vfmadd231ps %ymm0,%ymm1,%ymm2", "multiply"),
        ("vpopcntd %zmm0,%zmm1", "multiply"),
        ("vpmulld %ymm0,%ymm1,%ymm2", "multiply"),
        ("imul %rax,%rbx", "scalar"),
        ("vpmovzxbw (%rax),%ymm0", "widen"),
        ("vpbroadcastd (%rax),%ymm0", "broadcast"),
        ("vbroadcastss (%rax),%ymm0", "broadcast"),
        ("vcvtdq2ps %ymm0,%ymm1", "convert"),
        ("vpackssdw %ymm0,%ymm1,%ymm2", "convert"),
        ("vpmovusdb %zmm0,%xmm1", "convert"),
        ("vpaddd %ymm0,%ymm1,%ymm2", "add"),
        ("vaddps %ymm0,%ymm1,%ymm2", "add"),
        ("vpxor %ymm0,%ymm1,%ymm2", "logic"),
        ("vpxord %zmm0,%zmm1,%zmm2", "logic"),
        ("vpsrlw $0x4,%ymm0,%ymm1", "logic"),
        ("vpminsd %ymm0,%ymm1,%ymm2", "compare"),
        ("vmaxps %ymm0,%ymm1,%ymm2", "compare"),
        ("vpermd %ymm0,%ymm1,%ymm2", "shuffle"),
        ("vmovdqu (%rax,%rcx,1),%ymm0", "load"),
        ("vmovups 0x40(%rax),%zmm0", "load"),
        ("vmovups %zmm0,0x40(%rax)", "store"),
        ("vmovdqu8 %zmm0,(%rax){%k1}", "store"),
        ("vmovaps %ymm0,0x20(%rsp)", "spill"),
        ("vmovaps 0x20(%rsp),%ymm0", "spill"),
        ("vmovdqa %ymm0,%ymm1", "move"),
        ("jne 4010 <f+0x10>", "branch"),
        ("add $0x40,%rax", "scalar"),
        ("xor %eax,%eax", "scalar"),
        ("lea 0x4(%rax),%rcx", "scalar"),
        ("mov %rax,(%rdi)", "scalar"),
    ],
)
def test_class_of_an_instruction(line: str, expected: str) -> None:
    assert loop_work(loop(line)).classes == {expected: 1}


def test_pmaddwd_multiplies_alone_and_widens_behind_pmaddubsw() -> None:
    assert loop_work(loop("vpmaddwd %ymm0,%ymm1,%ymm2")).classes == {"multiply": 1}
    work = loop_work(loop(*(f"{op} %ymm0,%ymm1,%ymm2" for op in ("vpmaddubsw", "vpmaddwd", "vpaddd"))))
    assert work.classes == {"multiply": 1, "widen": 1, "add": 1}


def test_pshufb_looks_up_only_where_nothing_multiplies() -> None:
    lookup = loop_work(loop("vpshufb %ymm0,%ymm1,%ymm2", "vpaddb %ymm0,%ymm1,%ymm2"))
    assert lookup.classes == {"multiply": 1, "add": 1}
    permuted = loop_work(loop("vpermb (%rax),%zmm1,%zmm2", "vpaddb %zmm0,%zmm1,%zmm2"))
    assert permuted.classes == {"multiply": 1, "add": 1}
    moved = loop_work(loop("vpshufb %ymm0,%ymm1,%ymm2", "vpmaddwd %ymm0,%ymm1,%ymm2"))
    assert moved.classes == {"shuffle": 1, "multiply": 1}


def test_float_is_arithmetic_and_conversion_but_not_moves() -> None:
    work = loop_work(
        loop(
            "vmovups (%rax),%ymm0",
            "vbroadcastss (%rax),%ymm1",
            "vcvtdq2ps %ymm0,%ymm0",
            "vmulps %ymm1,%ymm0,%ymm0",
            "vfmadd213ps %ymm1,%ymm0,%ymm0",
            "vaddpd %ymm1,%ymm0,%ymm0",
            "vcvtps2dq %ymm0,%ymm0",
            "vpmaddwd %ymm1,%ymm0,%ymm0",
        )
    )
    assert (work.float, work.float_multiplies, work.conversions, work.integer_multiplies) == (5, 2, 2, 1)
    assert str(work).startswith("multiply=3")
