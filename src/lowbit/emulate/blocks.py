"""Straight-line pieces of AArch64 code, how often each ran, and what their instructions are for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["CLASSES", "Block", "class_of", "count_classes", "instructions"]

CLASSES = ("dot product", "vector", "load", "store", "branch", "other")


@dataclass(frozen=True)
class Block:
    """``words``: the 32-bit instruction words from ``address`` on, in ``symbol``."""

    symbol: str
    address: int
    words: tuple[int, ...]


def _loads(word: int) -> bool:
    """Of an instruction of the load and store group (C4.1.66 of the Arm Architecture Reference Manual)."""
    group, vector = word >> 28 & 3, word >> 26 & 1
    if group == 1 and not word >> 24 & 1:  # literal
        return True
    if group == 3:  # one register: opc says store or one of several loads
        opc = word >> 22 & 3
        return opc in (1, 3) if vector else opc != 0
    return bool(word >> 22 & 1)  # pairs, exclusives, structures: the L bit


def class_of(word: int) -> str:
    """The class in :data:`CLASSES` of an instruction word.

    "vector" is SIMD and scalar floating point alike; both run in the same pipelines."""
    op = word >> 25 & 15
    if op & 0b0101 == 0b0100:
        return "load" if _loads(word) else "store"
    if op & 0b1110 == 0b1010:
        return "branch"
    if op & 0b0111 == 0b0111:
        by_vector = word & 0x9F20FC00 == 0x0E009400 and word >> 22 & 3 == 2
        by_element = word & 0x9F00F400 == 0x0F00E000 and word >> 22 & 3 == 2
        return "dot product" if by_vector or by_element else "vector"
    return "other"


def count_classes(times: Mapping[Block, int]) -> dict[str, int]:
    """Instructions executed by class."""
    total: Counter[str] = Counter()
    for block, runs in times.items():
        for name, count in Counter(map(class_of, block.words)).items():
            total[name] += runs * count
    return {name: total[name] for name in CLASSES if total[name]}


def instructions(times: Mapping[Block, int], symbols: Sequence[str] | None = None) -> int:
    """Instructions executed, in all blocks or in those of ``symbols``."""
    return sum(runs * len(block.words) for block, runs in times.items() if symbols is None or block.symbol in symbols)
