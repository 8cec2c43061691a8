"""What AArch64 instructions are for, and the loops they are in."""

from __future__ import annotations

import pytest

from lowbit.errors import ToolMissing
from lowbit.reporting.arm_instructions import ArmInstruction
from lowbit.reporting.instructions import loop_work
from lowbit.reporting.machine_code import disassemble, parse_objdump

TEXT = """
f.so:     file format elf64-littleaarch64

Disassembly of section .text:

0000000000001000 <f>:
    1000:\tstp\td15, d14, [sp, #-80]!
    1004:\tmovi\tv0.4s, #0x0
    1008:\tldp\tq1, q2, [x2], #32
    100c:\tdup\tv3.8h, v4.h[1]
    1010:\tsmull\tv5.8h, v3.8b, v1.8b
    1014:\tsmlal2\tv5.8h, v3.16b, v2.16b
    1018:\tsadalp\tv0.4s, v5.8h
    101c:\tsubs\tx9, x9, #0x1
    1020:\tb.ne\t1008 <f+0x8>  // b.any
    1024:\tfmul\tv0.4s, v0.4s, v6.4s
    1028:\tcbnz\tw3, 1024 <f+0x24>
    102c:\tret
    1030:\tudf\t#0
"""


def instructions(*lines: str) -> list[ArmInstruction]:
    return [ArmInstruction(4 * i, *[*line.split(None, 1), ""][:2]) for i, line in enumerate(lines)]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("smull v0.8h, v1.8b, v2.8b", "multiply"),
        ("smlal2 v0.4s, v1.8h, v2.h[3]", "multiply"),
        ("sdot v0.4s, v1.16b, v2.4b[1]", "multiply"),
        ("mla v0.16b, v1.16b, v2.16b", "multiply"),
        ("fmla v0.4s, v1.4s, v2.s[0]", "multiply"),
        ("cnt v0.16b, v1.16b", "multiply"),
        ("sadalp v0.4s, v1.8h", "widen"),
        ("ushll2 v0.4s, v1.8h, #0", "widen"),
        ("dup v0.16b, v1.b[3]", "broadcast"),
        ("ld1r {v0.4s}, [x1]", "broadcast"),
        ("fcvtns v0.4s, v1.4s", "convert"),
        ("scvtf v0.4s, v1.4s", "convert"),
        ("usra v0.8h, v1.8h, #8", "add"),
        ("eor v0.16b, v1.16b, v2.16b", "logic"),
        ("fmaxnm v0.4s, v1.4s, v2.4s", "compare"),
        ("uzp1 v0.16b, v1.16b, v2.16b", "shuffle"),
        ("ldr q0, [x1, #16]", "load"),
        ("ldr q0, [sp, #16]", "spill"),
        ("stp q0, q1, [x0]", "store"),
        ("str q0, [sp]", "spill"),
        ("mov v0.16b, v1.16b", "move"),
        ("ldrb w1, [x2, #3]", "scalar"),
        ("mul w1, w2, w3", "scalar"),
        ("b.ne 1008 <f+0x8>", "branch"),
    ],
)
def test_kinds(line: str, kind: str) -> None:
    assert loop_work(instructions(line)).classes == {kind: 1}


def test_a_table_that_is_looked_up_multiplies_where_nothing_else_does() -> None:
    looked_up = loop_work(instructions("tbl v0.16b, {v1.16b}, v2.16b", "add v3.16b, v3.16b, v0.16b"))
    assert looked_up.integer_multiplies == 1
    moved = loop_work(instructions("tbl v0.16b, {v1.16b}, v2.16b", "smull v3.8h, v4.8b, v0.8b"))
    assert (moved.integer_multiplies, moved.classes["shuffle"]) == (1, 1)


def test_float_work() -> None:
    work = loop_work(instructions("scvtf v0.4s, v0.4s", "fmul v0.4s, v0.4s, v1.4s", "fcvtns v0.4s, v0.4s", "fmov s1, w2"))
    assert (work.float, work.float_multiplies, work.conversions, work.integer_multiplies) == (3, 1, 2, 0)


def test_loops() -> None:
    function = parse_objdump(TEXT)["f"]
    assert [loop[0].address for loop in function.loops()] == [0x1008, 0x1024]
    assert function.instructions[-1].mnemonic == "ret"
    hot = loop_work(function.hot_loop())
    assert dict(hot.classes) == {"multiply": 2, "load": 1, "broadcast": 1, "widen": 1, "scalar": 1, "branch": 1}


def test_the_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    header = b"\x7fELF\x02\x01\x01" + bytes(11) + (0xB7).to_bytes(2, "little")
    with pytest.raises(ToolMissing, match="aarch64.*apt-get install binutils-aarch64-linux-gnu"):
        disassemble(header)
