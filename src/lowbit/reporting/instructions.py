"""What an x86 instruction is for: a table of mnemonics, first match wins (AT&T operand order).  For AArch64
see arm_instructions.py.  A call of a function that stands for an emulated instruction counts as the instruction.

Some instructions serve two masters, and only the loop they are in tells which:

- ``vpmaddwd`` multiplies int16 pairs; after ``vpmaddubsw`` it only widens (its other operand is ones);
- ``vpshufb`` (``tbl`` on AArch64) moves bytes; in a loop without any other multiplication it looks products up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["CLASSES", "JUMP_TARGET", "Instruction", "LoopWork", "loop_work"]


@dataclass(frozen=True)
class Instruction:
    """``operands`` as objdump prints them: sources first, destination last."""

    address: int
    mnemonic: str
    operands: str = ""

    @property
    def writes_memory(self) -> bool:
        return self.operands.endswith(")") or bool(re.search(r"\)\{%k\d\}$", self.operands))

    @property
    def on_stack(self) -> bool:
        return "(%rsp" in self.operands  # kernels have no frame pointer: %rbp is a register like others

    @property
    def jumps_to(self) -> int | None:
        """The address a jump within the function names."""
        match = JUMP_TARGET.search(self.operands) if self.mnemonic.startswith("j") else None
        return int(match[1], 16) if match else None

    @property
    def kind(self) -> str:
        """Its class."""
        if emulated := _EMULATED.search(self.operands):
            return _TILES[emulated[1]]
        if _MOVE.fullmatch(self.mnemonic) and _VECTOR.search(self.operands):
            if "(" not in self.operands:
                return "move"
            if self.on_stack:
                return "spill"
            return "store" if self.writes_memory else "load"
        for name, pattern in CLASSES.items():
            if pattern.fullmatch(self.mnemonic):
                vector = name == "branch" or _VECTOR.search(self.operands)
                return name if vector else "scalar"
        return "scalar"

    @property
    def in_float(self) -> bool:
        return self.multiplies_floats or _FLOAT.fullmatch(self.mnemonic) is not None

    @property
    def multiplies_floats(self) -> bool:
        return _FLOAT_MULTIPLY.fullmatch(self.mnemonic) is not None or "<lb_tdpbf16ps>" in self.operands

    @property
    def converts(self) -> bool:
        """Between float and integer."""
        return _CONVERSION.fullmatch(self.mnemonic) is not None


JUMP_TARGET = re.compile(r"(?:^|[\s,])(?:0x)?([0-9a-f]+)(?: <.*>)?$")  # a bare address, after other operands or alone

# class -> the mnemonics in it
CLASSES: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "multiply": r"v?pmadd(ubsw|wd)|vpdp\w+|tdp\w+|v?pmul\w+|v?mul[ps][sd]|vfn?m(add|sub)\w+|v?p?popcnt\w*",
        "widen": r"v?pmov[sz]x\w+",
        "broadcast": r"vp?broadcast\w+",
        "convert": r"v?cvt\w+|v?pack[su]s\w+|v?round[ps][sd]|vrndscale[ps][sd]|vpmovu?s?[dqw][bwd]b?$",
        "add": r"v?padd\w*|v?psub\w*|v?(add|sub)[ps][sd]$",
        "logic": r"v?p?(and|or|xor|andn)(n?[dq]|n?p[sd])?$|vpternlog\w+|v?ps[lr][la][wdq]q?$|tilezero",
        "compare": r"v?p?(min|max)\w+|v?p?cmp\w+|v?p?ucomi\w+|v?p?blend\w+|vptest\w*",
        "shuffle": r"v?p?shuf\w+|vperm\w+|v?p?unpck\w+|v?p?(insert|extract|align)\w+|v?mov([hl]\w*ps|ddup|s[hl]dup)",
        "branch": r"j\w+|call\w*|ret\w*",
    }.items()
}
# functions that stand for instructions on tiles (backend/emulated_c)
_EMULATED = re.compile(r"<lb_(tdp|tileload|tilestore|tilezero)\w*>")
_TILES = {"tdp": "multiply", "tileload": "load", "tilestore": "store", "tilezero": "logic"}
_MOVE = re.compile(r"v?mov(ap|up|dq|nt|q|d|ss|sd)\w*|v?lddqu|tile(loadd|loaddt1|stored)")
_VECTOR = re.compile(r"%[xyzt]mm\d+")
_FLOAT = re.compile(
    r"v?(add|sub|mul|div|sqrt|max|min|cmp\w*|u?comi|round|rndscale|rcp14|rsqrt14|rcp|rsqrt|hadd|dp)[ps][sd]$|vfn?m(add|sub)\w+[ps][sd]$|v?cvt\w*[ps][sd]\w*$"
)
_FLOAT_MULTIPLY = re.compile(r"v?mul[ps][sd]|vfn?m(add|sub)\w+[ps][sd]|tdpbf16ps")
_CONVERSION = re.compile(r"v?cvt(t?(p[sd]2u?[dq]q|s[sd]2u?si)|u?[dq]q2p[sd]|u?si2s[sd])\w*")


@dataclass(frozen=True)
class LoopWork:
    """Instructions of a loop (or of a whole function).

    ``classes``: by class; ``float``: those that compute in float (arithmetic, comparison, conversion;
    not moves); ``float_multiplies``: those that multiply in float, fused with an addition or not;
    ``conversions``: between float and integer, either way.
    """

    classes: Mapping[str, int]
    float: int
    float_multiplies: int
    conversions: int

    @property
    def integer_multiplies(self) -> int:
        return self.classes.get("multiply", 0) - self.float_multiplies

    def __str__(self) -> str:
        return " ".join(f"{name}={count}" for name, count in sorted(self.classes.items(), key=lambda item: -item[1]))


def loop_work(loop: Sequence[Instruction]) -> LoopWork:
    """Count a loop; the two ambiguous instructions are read in its light."""
    counts = Counter(i.kind for i in loop)
    names = Counter(i.mnemonic.removeprefix("v") for i in loop)
    if names["pmaddubsw"] and names["pmaddwd"]:
        counts["multiply"] -= names["pmaddwd"]
        counts["widen"] += names["pmaddwd"]
    for look_up in ("pshufb", "permb", "tbl"):  # of products, or of bit counts
        if not counts["multiply"] and names[look_up]:
            counts["multiply"] += names[look_up]
            counts["shuffle"] -= names[look_up]
    float_work = [sum(test) for test in zip(*((i.in_float, i.multiplies_floats, i.converts) for i in loop), strict=True)]
    return LoopWork(dict(+counts), *(float_work or (0, 0, 0)))
