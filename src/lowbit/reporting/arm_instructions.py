"""What an AArch64 instruction is for: the classes of instructions.py, by mnemonics and operands as objdump prints
them (destination first).  First match wins; what works on general registers is "scalar"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lowbit.reporting.instructions import JUMP_TARGET, Instruction

__all__ = ["ArmInstruction"]

_CLASSES: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "multiply": r"[su]?ml[as]l?2?|[su]?mull?2?|[su]dot|sq\w*mul\w*|f(n?mul|n?madd|n?msub|ml[as]|mulx)|cnt",
        "widen": r"[su](addl?p|adalp|addlp|addw2?|addl2?|xtl2?|shll2?)|shll2?",
        "broadcast": r"dup|ld1r",
        "convert": r"[su]cvtf|fcvt\w*|frint\w*|xtn2?|[su]qxtn2?|sqxtun2?",
        "add": r"f?(add|sub)p?v?|[su]q(add|sub)|[su]r?sra|[su]addlv",
        "logic": r"and|orr|eor|bic|orn|mvn|not|shl|[su]shr|[su]shl|s[lr]i|shrn2?",
        "compare": r"cm\w+|fcm\w+|fcmp|[sufa]*(max|min)(nm)?[pv]?|bi[ft]|bsl|fcsel",
        "shuffle": r"tb[lx]|(zip|uzp|trn)[12]|ext|rev\d+|ins|[su]mov",
        "branch": r"b|b\.\w+|bl|blr|br|ret|[ct]bn?z",
    }.items()
}
_LOAD, _STORE = re.compile(r"ld(p|r|ur|np|\d)"), re.compile(r"st(p|r|ur|np|\d)")
_MOVE = re.compile(r"f?mov|movi|mvni")
_VECTOR = re.compile(r"\b[vqdshb]\d+\b")
_FLOAT = re.compile(r"f(?!mov|csel)\w+|[su]cvtf")
_FLOAT_MULTIPLY = re.compile(r"f(n?mul|n?madd|n?msub|ml[as]|mulx)")
_CONVERSION = re.compile(r"[su]cvtf|fcvt[zanmp][su]")


@dataclass(frozen=True)
class ArmInstruction(Instruction):
    """``operands``: destination first."""

    @property
    def writes_memory(self) -> bool:
        return _STORE.match(self.mnemonic) is not None

    @property
    def on_stack(self) -> bool:
        return "[sp" in self.operands

    @property
    def jumps_to(self) -> int | None:
        jump = self.mnemonic not in ("bl", "blr", "br") and _CLASSES["branch"].fullmatch(self.mnemonic)
        match = JUMP_TARGET.search(self.operands) if jump else None
        return int(match[1], 16) if match else None

    @property
    def kind(self) -> str:
        if not _VECTOR.search(self.operands):
            return "branch" if _CLASSES["branch"].fullmatch(self.mnemonic) else "scalar"
        if "[" in self.operands and self.mnemonic != "ld1r":
            if self.on_stack:
                return "spill"
            if self.writes_memory:
                return "store"
            if _LOAD.match(self.mnemonic):
                return "load"
        if _MOVE.fullmatch(self.mnemonic):
            return "move"
        return next((name for name, pattern in _CLASSES.items() if pattern.fullmatch(self.mnemonic)), "scalar")

    @property
    def in_float(self) -> bool:
        return _FLOAT.fullmatch(self.mnemonic) is not None

    @property
    def multiplies_floats(self) -> bool:
        return _FLOAT_MULTIPLY.fullmatch(self.mnemonic) is not None

    @property
    def converts(self) -> bool:
        return _CONVERSION.fullmatch(self.mnemonic) is not None
