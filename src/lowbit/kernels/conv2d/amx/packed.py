"""Results of sixty-four channels at once, from sums in scratch memory to one line of bytes.

The same numbers as kernels/epilogue.py writes of sums in registers: float32 of the sum, times the multiplier, plus the
residual's fenced product, packed (kernels/packed_bytes.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import KernelFrame
from lowbit.kernels.conv2d.amx.plan import GROUP
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.packed_bytes import packed_bytes
from lowbit.kernels.vectors import LANES, convert, fence, load, operand, splat, store
from lowbit.targets import Target

__all__ = ["PackedRows"]

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
        self.zero = TB.Bind(T.cast(zero, "int32"))
        self.residual = [TB.Bind(self.kernel.s[at + 3 + i]) for i in range(3)] if self.spec.residual else []

    def columns(self, channel: Any) -> list[Any]:
        """Multipliers of the group that begins at ``channel``."""
        return [TB.Bind(load(self.kernel.s, channel + t * LANES)) for t in range(_TILES)]

    def write(self, sums: Any, columns: list[Any], to: Any, residual_at: Any) -> None:
        """One pixel: sums (with the bias) lie at ``sums`` of m, sixty-four int32 in a row."""
        values = []
        for t, scale in enumerate(columns):
            value = convert(load(self.kernel.m, sums + t * LANES), "float32") * scale
            if self.residual:
                step, shift, multiplier = self.residual
                stored = load(self.kernel.r, residual_at + t * LANES)
                value = fence(value) + fence(operand(stored, step, shift) * splat(multiplier, "float32"))
            values.append(value)
        saturate = "avx512bw" in self.target.features
        store(self.kernel.o, to, packed_bytes(values, self.lo, self.hi, self.zero, saturate), GROUP)
