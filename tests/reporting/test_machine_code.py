"""Functions and loops of real machine code."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lowbit.errors import ArtifactError, ToolMissing
from lowbit.reporting.instructions import loop_work
from lowbit.reporting.machine_code import disassemble, parse_objdump

TEXT = """
f.so:     file format elf64-x86-64

Disassembly of section .text:

0000000000001000 <nested>:
    1000:\txor    %eax,%eax
    1002:\tvpbroadcastd (%rsi),%ymm0
    1008:\tvpmaddubsw (%rdx),%ymm0,%ymm1
    100d:\tvpaddd %ymm1,%ymm2,%ymm2
    1011:\tdec    %ecx
    1013:\tjne    1008 <nested+0x8>
    1015:\tvmovdqu %ymm2,(%rdi)
    1019:\tadd    $0x20,%rdi
    101d:\tvmovdqu (%rdi),%ymm3
    1021:\tvmovdqu %ymm3,(%r8)
    1025:\tvmovdqu %ymm3,0x20(%r8)
    1029:\tcmp    %rdi,%r9
    102c:\tjne    1019 <nested+0x19>
    102e:\tdec    %r10
    1031:\tjne    1002 <nested+0x2>
    1033:\tret
    1034:\tnopw   0x0(%rax,%rax,1)
    103d:\tdata16 cs nopw 0x0(%rax,%rax,1)

0000000000001050 <straight>:
    1050:\tje     1055 <straight+0x5>
    1052:\timul   %rax,%rbx
    1055:\tret
    1056:\tint3
"""


def test_innermost_loops_and_the_one_that_multiplies() -> None:
    functions = parse_objdump(TEXT)
    assert list(functions) == ["nested", "straight"]
    nested = functions["nested"]
    assert [len(loop) for loop in nested.loops()] == [4, 6]
    assert [i.mnemonic for i in nested.hot_loop()] == ["vpmaddubsw", "vpaddd", "dec", "jne"]
    assert nested.instructions[-1].mnemonic == "ret"  # padding is cut


def test_a_function_without_loops_is_its_own_hot_loop() -> None:
    straight = parse_objdump(TEXT)["straight"]
    assert straight.loops() == []
    assert straight.hot_loop() == straight.instructions
    assert len(straight.instructions) == 3


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_what_a_compiler_makes(tmp_path: Path) -> None:
    (tmp_path / "f.c").write_text(
        "#define DOT(name, type) type name(const type *a, const type *b, int n) {"
        " type s = 0; for (int i = 0; i < n; i++) s += a[i] * b[i]; return s; }\n"
        "DOT(dot, int)\nDOT(dotf, float)\n"
    )
    subprocess.run(["gcc", "-O3", "-mavx2", "-ffast-math", "-shared", "-fPIC", "-o", "f.so", "f.c"], cwd=tmp_path, check=True)
    functions = disassemble((tmp_path / "f.so").read_bytes())
    whole, fraction = (loop_work(functions[name].hot_loop()) for name in ("dot", "dotf"))
    assert (whole.integer_multiplies > 0, whole.float) == (True, 0)
    assert (fraction.integer_multiplies, fraction.float_multiplies > 0) == (0, True)


def test_an_epilogue_that_multiplies_more_often_in_float_is_not_the_hot_loop() -> None:
    text = """
0000000000000000 <f>:
   0:\tvpmaddwd %ymm0,%ymm1,%ymm2
   4:\tjne    0 <f>
   8:\tvmulps %ymm0,%ymm1,%ymm2
   c:\tvmulps %ymm0,%ymm1,%ymm2
  10:\tjne    8 <f+0x8>
"""
    assert parse_objdump(text)["f"].hot_loop()[0].mnemonic == "vpmaddwd"


def test_not_a_library() -> None:
    with pytest.raises(ArtifactError, match="objdump cannot read the artifact's library"):
        disassemble(b"no ELF file")


def test_without_objdump(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissing, match="apt-get install binutils"):
        disassemble(b"")
