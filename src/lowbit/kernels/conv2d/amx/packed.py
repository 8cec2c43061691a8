"""Results of sixty-four channels at once, from sums in scratch memory to one line of bytes.

The same numbers as kernels/epilogue.py writes sixteen at a time: float32 of the sum, times the multiplier, plus the residual's
fenced product, clamped, rounded.  What follows are whole numbers of at most 9 bits, which pack without losing anything:

    int32 x 16 of four tiles -> packssdw, packssdw (+ zero, int16) -> packuswb -> dwords in the channels' order

Packing goes by 16 bytes, so dword 4l + t holds channels 16t + 4l .. + 3: one permutation of dwords puts them in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import KernelFrame
from lowbit.kernels.conv2d.amx.plan import GROUP
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.intrinsics.x86 import packssdw, packuswb
from lowbit.kernels.vectors import LANES, clamp, convert, fence, load, operand, splat, store, to_integer
from lowbit.targets import Target

__all__ = ["PackedRows", "channels_in_order"]

_TILES = GROUP // LANES


@dataclass
class PackedRows:
    """Open it at the top of the kernel: it loads the scalars.  ``channels``: the extent of the multipliers."""

    kernel: KernelFrame
    spec: ConvSpec
    target: Target
    channels: int

    def __post_init__(self) -> None:
        at = self.channels
        self.lo, self.hi, zero = (TB.Bind(self.kernel.s[at + i]) for i in range(3))
        self.zero = TB.Bind(T.cast(zero, "int16"))
        self.residual = [TB.Bind(self.kernel.s[at + 3 + i]) for i in range(3)] if self.spec.residual else []

    def columns(self, channel: Any) -> list[Any]:
        """Multipliers of the group that begins at ``channel``."""
        return [TB.Bind(load(self.kernel.s, channel + t * LANES)) for t in range(_TILES)]

    def write(self, sums: Any, columns: list[Any], to: Any, residual_at: Any) -> None:
        """One pixel: sums (with the bias) lie at ``sums`` of m, sixty-four int32 in a row."""
        words = []
        for t, scale in enumerate(columns):
            value = convert(load(self.kernel.m, sums + t * LANES), "float32") * scale
            if self.residual:
                step, shift, multiplier = self.residual
                stored = load(self.kernel.r, residual_at + t * LANES)
                value = fence(value) + fence(operand(stored, step, shift) * splat(multiplier, "float32"))
            words.append(to_integer(clamp(value, splat(self.lo, "float32"), splat(self.hi, "float32"))))
        zero = splat(self.zero, "int16", 2 * LANES)
        halves = [self._halfwords(words[i], words[i + 1]) + zero for i in (0, 2)]
        store(self.kernel.o, to, channels_in_order(self._bytes(*halves)), GROUP)

    def _halfwords(self, a: Any, b: Any) -> Any:
        if "avx512bw" in self.target.features:
            return packssdw(a, b)
        return _by_sixteen_bytes(convert(a, "int16"), convert(b, "int16"), 16, 4)

    def _bytes(self, a: Any, b: Any) -> Any:
        if "avx512bw" in self.target.features:
            return packuswb(a, b)
        return _by_sixteen_bytes(convert(a, "uint8", 32), convert(b, "uint8", 32), 32, 8)


def channels_in_order(mixed: Any) -> Any:
    """uint8 x 64: dword 4l + t of what packing mixed is dword 4t + l."""
    order = [4 * (d % 4) + d // 4 for d in range(16)]
    dwords = tirx.Shuffle([T.reinterpret("int32x16", mixed)], [tirx.IntImm("int32", i) for i in order])
    return T.reinterpret("uint8x64", dwords)


def _by_sixteen_bytes(a: Any, b: Any, lanes: int, each: int) -> Any:
    """``each`` elements of a, ``each`` of b, and so on, of ``lanes`` elements each."""
    order = [i + j + of * lanes for i in range(0, lanes, each) for of in range(2) for j in range(each)]
    return tirx.Shuffle([a, b], [tirx.IntImm("int32", i) for i in order])
