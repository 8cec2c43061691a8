"""Sums kept in bytes, one an output channel, and how they become int32 totals (TensorIR)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from lowbit.kernels.vectors import LANES, splat

__all__ = ["Bytes"]


@dataclass(frozen=True)
class Bytes:
    """``lanes`` unsigned bytes that hold start + a sum of some steps, proven to lie in 0 .. 255.

    Read as 16-bit words, a word is even + 256 * odd of two neighbouring channels.  Two words are kept
    modulo 2^16: A += word and H += word >> 8; then the odd channel's total is H and the even one's is
    A - 256 * H.  Totals are proven to lie in int16, so arithmetic modulo 2^16 loses nothing.
    ``table_bytes``: size of the look-up table in ``t``.
    """

    lanes: int
    start: int
    table_bytes: int

    def first(self, blocks: int) -> tuple[Any, Any]:
        """What A and H start from: ``blocks`` times -start in each total."""
        odd = -self.start * blocks % 65536
        return T.uint16(odd * 257 % 65536), T.uint16(odd)

    def terms(self, acc: Any) -> tuple[Any, Any]:
        """What a block adds to A and to H."""
        half = self.lanes // 2
        words = T.reinterpret(f"uint16x{half}", acc)
        return words, T.shift_right(words, splat(T.uint16(8), "uint16", half))

    def totals(self, a: Any, h: Any) -> Iterator[tuple[int, Any]]:
        """(first channel, int32 x 16)."""
        half = self.lanes // 2
        even = a - T.shift_left(h, splat(T.uint16(8), "uint16", half))
        for first in range(0, self.lanes, LANES):
            order = [(first + k) // 2 + k % 2 * half for k in range(LANES)]
            words = tirx.Shuffle([even, h], [tirx.IntImm("int32", n) for n in order])
            yield first, T.cast(T.reinterpret(f"int16x{LANES}", words), f"int32x{LANES}")
