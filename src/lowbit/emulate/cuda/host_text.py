"""CUDA text -> C++ text for the header cuda_on_cpu.h: the same statements, with inline assembly as calls."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lowbit.errors import LowbitError

__all__ = ["HEADER", "host_text", "merged"]

HEADER = Path(__file__).with_name("cuda_on_cpu.h")

_ASM = re.compile(r'asm volatile\(\s*"([^"]*?);?"\s*((?::[^;]*)?)\);')
_OPERAND = re.compile(r'"[=+]?\w"\s*\(([^()]*(?:\([^()]*\))?[^()]*)\)')
_STATIC = re.compile(r"__shared__ (?:alignas|__align__)\((\d+)\) ([\w ]+?) (\w+)\[(\d+)\];")
_DYNAMIC = re.compile(r"extern __shared__ (?:(?:alignas|__align__)\(\d+\) )?([\w ]+?) (\w+)\[\];")
_PART = re.compile(r'(?=^(?:__forceinline__ __device__|extern "C" __global__))', re.M)


def host_text(text: str) -> str:
    """``asm volatile("op {%0, %1}, [%2], 16;" : outs : ins)`` -> ``ptx::op(out0, out1, in0, 16)``: operands in the order of the
    asm's text.  Shared memory becomes memory that is filled with garbage in every block.

    Raises LowbitError where assembly is left that no rule takes."""

    def call(found: re.Match[str]) -> str:
        head, _, rest = found[1].strip().partition(" ")
        names = _OPERAND.findall(found[2])
        operands = [names[int(o[1:])] if o[0] == "%" else o for o in re.findall(r"%\d+|(?<![\w%])\d+", rest)]
        return f"ptx::{re.sub(r'[.:]+', '_', head)}({', '.join(operands)});"

    text = _STATIC.sub(r"alignas(\1) static \2 \3[\4]; emu::garbage(\3, sizeof \3);", text)
    text = _DYNAMIC.sub(r"\1 *\2 = (\1 *)emu::garbage(emu::dynamic_shared, emu::DYNAMIC);", text)
    text = _ASM.sub(call, text)
    if left := re.search(r".*\basm\b.*", text):
        raise LowbitError(f"inline assembly that the emulation cannot read: {left[0].strip()}")
    return text


def merged(texts: Iterable[str]) -> str:
    """Several kernels' text as one, each inline function once."""
    return "".join(dict.fromkeys(part.rstrip() + "\n" for text in texts for part in _PART.split(text) if part.strip()))
