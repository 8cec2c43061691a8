"""Tiles of AMX: eight registers of up to 16 rows of 64 bytes, and the products of two of them.

Tiles are named by number, so nobody allocates registers: LLVM keeps these instructions in the order in which they are written.
For a target that emulates AMX the same calls go to C functions (backend/emulated_c/tiles.c): same schedule, same memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.errors import UnsupportedPrecision
from lowbit.targets import Target

__all__ = ["BYTES", "COLUMNS", "HALVES", "ROW_BYTES", "Tiles", "tiles_of"]

ROW_BYTES = 64
COLUMNS = 16  # sums of a row
BYTES, HALVES = "amx-int8", "amx-bf16"
"""What a CPU must have, beside amx-tile, for products of bytes and of bfloat16."""


@dataclass(frozen=True)
class Tiles:
    """The instructions, or the functions that stand for them.  ``at``: (buffer, element offset)."""

    emulated: bool

    def configure(self, buffer: Any, offset: Any) -> None:
        """Take the shapes of all tiles from 64 bytes (:func:`configuration`)."""
        self._do("ldtilecfg", _pointer(buffer, offset))

    def release(self) -> None:
        self._do("tilerelease")

    def zero(self, tile: int) -> None:
        self._do("tilezero", tile)

    def load(self, tile: int, buffer: Any, offset: Any, stride: int) -> None:
        """Rows of 64 bytes, ``stride`` bytes apart; 0: the same row in all of them."""
        self._do("tileloadd64", tile, _pointer(buffer, offset), T.int64(stride))

    def store(self, tile: int, buffer: Any, offset: Any, stride: int) -> None:
        self._do("tilestored64", tile, _pointer(buffer, offset), T.int64(stride))

    def multiply(self, sums: int, a: int, b: int, a_signed: bool, b_signed: bool) -> None:
        """sums[m][n] += sum over k of a[m][k] * b[k / 4][4n + k % 4], int32, of bytes with or without a sign."""
        self._do(f"tdpb{'us'[a_signed]}{'us'[b_signed]}d", sums, a, b)

    def multiply_halves(self, sums: int, a: int, b: int) -> None:
        """sums[m][n] += sum over k of a[m][k] * b[k / 2][2n + k % 2], float32, of bfloat16: even and odd k apart, from 0 on, each
        product exact and each sum rounded to nearest even, then the two together, then that to the sum before.  Denormal numbers
        are zeros, before and after every operation; MXCSR is not asked (Intel's manual, TDPBF16PS)."""
        self._do("tdpbf16ps", sums, a, b)

    def _do(self, name: str, *arguments: Any) -> None:
        kind = "int32" if self.emulated else "int8"
        given = [tirx.IntImm(kind, a) if isinstance(a, int) else a for a in arguments]
        if self.emulated:
            TB.evaluate(T.call_extern("void", f"lb_{name}", *given))
        else:
            TB.evaluate(T.call_llvm_intrin("void", f"llvm.x86.{name}", *given))

    @staticmethod
    def configuration(rows: int, sums_and_inputs: int) -> list[int]:
        """Sixteen int32 for ldtilecfg: the first so many tiles have ``rows`` rows, the others 16; rows have 64 bytes."""
        data = bytearray(64)
        data[0] = 1  # the palette of these shapes
        data[16:32] = ROW_BYTES.to_bytes(2, "little") * 8
        data[48:56] = bytes([rows] * sums_and_inputs + [16] * (8 - sums_and_inputs))
        return [int.from_bytes(data[i : i + 4], "little", signed=True) for i in range(0, 64, 4)]


def tiles_of(target: Target, products: str = BYTES) -> Tiles:
    """What ``target`` has for ``products`` of BYTES or of HALVES.  Raises UnsupportedPrecision where that is nothing: LLVM would
    end the process."""
    needed = {"amx-tile", products}
    if target.features >= needed:
        return Tiles(False)
    if target.instructions >= needed:
        return Tiles(True)
    raise UnsupportedPrecision(f"kernels with AMX tiles need {' and '.join(sorted(needed))}, which {target.name} lacks")


def _pointer(buffer: Any, offset: Any) -> Any:
    return buffer.access_ptr("rw", offset=offset)
