"""What an instruction of an NVIDIA GPU is for: the classes of instructions.py, by names as nvdisasm prints them (destination
first)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lowbit.reporting.instructions import JUMP_TARGET, Instruction

__all__ = ["SassInstruction"]

_CLASSES: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "multiply": r"I?MMA|BMMA|IGMMA|BGMMA|IDP|IDP4A|POPC|IMAD(?!\.(MOV|SHL|IADD))|U?IMAD|[FD]MUL|[FD]FMA|HMMA|HMUL2|HFMA2",
        "convert": r"I2FP?|F2IP?|F2F|FRND|I2I|I2IP|F2FP",
        "add": r"U?IADD3?|[FD]ADD|IABS|VIADD",
        "logic": r"U?LOP3|U?SHF|U?PRMT|U?BMSK|SGXT",
        "compare": r"U?ISETP|[FD]SETP|IMNMX|VIMNMX|FMNMX|FSEL|U?SEL|PLOP3",
        "shuffle": r"SHFL|LDSM|MOVM",
        "load": r"LDGSTS|LD[GS]?|LDC|ULDC|S2U?R|LDCU",
        "store": r"ST[GS]?|RED|ATOM\w*",
        "spill": r"LDL|STL",
        "branch": r"BRA|EXIT|BSYNC|BSSY|RET|CALL|BRX|WARPSYNC|BAR|DEPBAR|LDGDEPBAR",
    }.items()
}
_FLOAT = re.compile(r"[FDH](MUL2?|ADD2?|FMA2?|SETP|MNMX|SEL)|MUFU|FRND|F2\w+|I2F\w*|FCHK|HMMA")
_FLOAT_MULTIPLY = re.compile(r"[FD]MUL|[FD]FMA|HMUL2|HFMA2|HMMA")
_CONVERSION = re.compile(r"I2FP?|F2IP?|F2FP|I2IP")


@dataclass(frozen=True)
class SassInstruction(Instruction):
    """``mnemonic``: with its modifiers, IMMA.16832.U8.S8."""

    @property
    def _name(self) -> str:
        return self.mnemonic.split(".")[0]

    @property
    def writes_memory(self) -> bool:
        return _CLASSES["store"].fullmatch(self._name) is not None

    @property
    def on_stack(self) -> bool:
        return self._name in ("LDL", "STL")

    @property
    def jumps_to(self) -> int | None:
        match = JUMP_TARGET.search(self.operands) if self._name == "BRA" else None
        return int(match[1], 16) if match else None

    @property
    def kind(self) -> str:
        if self.mnemonic.startswith(("IMAD.MOV", "IMAD.SHL", "IMAD.IADD")):
            return "move"
        return next((name for name, pattern in _CLASSES.items() if pattern.fullmatch(self._name)), "scalar")

    @property
    def in_float(self) -> bool:
        return _FLOAT.fullmatch(self._name) is not None

    @property
    def multiplies_floats(self) -> bool:
        return _FLOAT_MULTIPLY.fullmatch(self._name) is not None

    @property
    def converts(self) -> bool:
        return _CONVERSION.fullmatch(self._name) is not None
