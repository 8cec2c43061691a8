"""Tables of 256 bytes held in vector registers."""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.intrinsics.neon import tbx4
from lowbit.kernels.intrinsics.x86 import pshufb
from lowbit.kernels.vectors import load, splat, wrapping
from lowbit.targets import Target

__all__ = ["ByteTable"]


class ByteTable:
    """``lookup`` of ``lanes`` bytes at once; ``lanes`` is 1 where the machine has no byte shuffle.

    AVX-512: 128 words in four registers, ``vpermi2w`` picks one of 64, so a word takes two look-ups and a
    choice, then a shift to its even or odd byte.  21 instructions for 64 bytes.
    AVX2: sixteen registers of sixteen bytes; ``pshufb`` gives 0 where bit 7 of its index is set, and
    x - 16 k + 0x70 (saturated) has bit 7 clear only in register k's range.  64 instructions for 32 bytes.
    NEON: sixteen registers; ``tbx`` looks up in four of them and leaves what is not there.  8 instructions for 16 bytes.
    """

    def __init__(self, table: Any, target: Target) -> None:
        """``table``: the kernel's buffer of 256 uint8; opened before the loops, it is loaded once."""
        self._table = table
        self.lanes = next((lanes for feature, lanes in _LANES.items() if feature in target.features), 1)
        if self.lanes == 64:
            self._words = [TB.Bind(T.reinterpret("uint16x32", load(table, 64 * i, 64))) for i in range(4)]
        elif self.lanes == 16:
            self._rows = [TB.Bind(load(table, 16 * i)) for i in range(16)]
        elif self.lanes == 32:
            rows = [load(table, 16 * i) for i in range(16)]
            order = [tirx.IntImm("int32", lane) for lane in range(32)]
            self._rows = [TB.Bind(tirx.Shuffle([row, row], order)) for row in rows]

    def lookup(self, index: Any) -> Any:
        """Table entries of uint8 x lanes."""
        if self.lanes == 1:
            return self._table[T.cast(index, "int32")]
        return {64: self._lookup_words, 32: self._lookup_rows, 16: self._lookup_quarters}[self.lanes](index)

    def _lookup_quarters(self, index: Any) -> Any:
        found: Any = splat(T.uint8(0), "uint8")
        for first in range(0, 16, 4):
            place = wrapping("sub", index, splat(T.uint8(16 * first), "uint8"), "uint8", 16) if first else index
            found = TB.Bind(tbx4(found, self._rows[first : first + 4], place))
        return found

    def _lookup_words(self, index: Any) -> Any:
        pairs = T.reinterpret("uint16x32", index)
        even = self._lookup_half(TB.Bind(pairs & _u16(0xFF)))
        odd = self._lookup_half(TB.Bind(pairs >> _u16(8)))
        return T.reinterpret("uint8x64", (even & _u16(0xFF)) | (odd << _u16(8)))

    def _lookup_half(self, byte: Any) -> Any:
        """The entry in the low byte of each 16-bit lane; the high byte is its neighbour's or 0."""
        word = TB.Bind(byte >> _u16(1))
        low, high = (
            T.call_llvm_pure_intrin("uint16x32", "llvm.x86.avx512.vpermi2var.hi.512", self._words[i], word, self._words[i + 1])
            for i in (0, 2)
        )
        return T.Select(byte < _u16(128), low, high) >> ((byte & _u16(1)) << _u16(3))

    def _lookup_rows(self, index: Any) -> Any:
        found = None
        for i, row in enumerate(self._rows):
            shifted = index - splat(T.uint8(16 * i), "uint8", 32)
            control = T.call_llvm_pure_intrin("uint8x32", "llvm.uadd.sat", shifted, splat(T.uint8(0x70), "uint8", 32))
            entry = pshufb(row, control, 32)
            found = TB.Bind(entry if found is None else found | entry)
        return found


_LANES = {"avx512bw": 64, "avx2": 32, "neon": 16}


def _u16(value: int) -> Any:
    return splat(T.uint16(value), "uint16", 32)
