"""Weights of 4 or 2 bits to tiles of bytes, three steps before they are multiplied, in a ring in scratch memory.

A tile that is loaded right after it was written waits for that: three steps ahead a 3x3 convolution of 512 channels on 7 x 7
pixels took 89 us on an Emerald Rapids server, one step ahead 137.
"""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T

from lowbit.kernels.abi import KernelFrame
from lowbit.kernels.conv2d.amx.field_order import LINE
from lowbit.kernels.conv2d.amx.plan import RING, STEP, Plan
from lowbit.kernels.vectors import load, splat, store

__all__ = ["Unpacking"]

_AHEAD = 3


class Unpacking:
    """Open it at the top of the kernel.  ``ring``: the buffer whose tile :meth:`place` a step multiplies."""

    def __init__(self, kernel: KernelFrame, plan: Plan, steps: int) -> None:
        self.kernel, self.steps, self.at = kernel, steps, 4 * plan.ring_word
        self.size = STEP * 16 * plan.columns  # bytes of a step
        self.fields = plan.narrow
        self.ring = kernel.view("m", "uint8", 4 * plan.scratch_words)

    def place(self, step: Any) -> Any:
        """Where the tile of a step begins in the ring."""
        return self.at + T.bitwise_and(T.int32(step) if isinstance(step, int) else step, T.int32(RING - 1)) * self.size

    def first(self, weights: Any) -> None:
        """The first steps of the panel at ``weights``."""
        for step in range(min(_AHEAD, self.steps)):
            self._unpack(weights, T.int32(step))

    def ahead(self, weights: Any, step: Any) -> None:
        """What is multiplied _AHEAD steps after ``step``; behind the last step that one again."""
        if self.steps > _AHEAD:
            self._unpack(weights, T.min(step + T.int32(_AHEAD), T.int32(self.steps - 1)))

    def _unpack(self, weights: Any, step: Any) -> None:
        """Field after field of each line: shifted down, masked, and its sign spread: (f ^ s) - s, s the sign's bit."""
        fields, bits, packed = self.fields, 8 // self.fields, self.size // self.fields
        to, start, sign = self.place(step), weights + step * packed, 1 << bits - 1
        for line in range(packed // LINE):
            together = load(self.kernel.w, start + line * LINE, LINE)
            for f in range(fields):
                field = together if f == 0 else T.shift_right(together, splat(bits * f, "uint8", LINE))
                if f < fields - 1:  # else nothing lies above
                    field = field & splat((1 << bits) - 1, "uint8", LINE)
                signed = T.reinterpret(f"int8x{LINE}", field ^ splat(sign, "uint8", LINE)) - splat(sign, "int8", LINE)
                store(self.ring, to + (fields * line + f) * LINE, T.reinterpret(f"uint8x{LINE}", signed), LINE)
