"""What a kernel of local response normalisation computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec

__all__ = ["ResponseNormSpec"]


@dataclass(frozen=True, kw_only=True)
class ResponseNormSpec(KernelSpec):
    """y = x * base^-beta, base = k + a * sum of v^2 over channels c - size // 2 .. c + (size - 1) // 2 that exist
    (docs/numerics.md, "Local response norm").

    The sum is float64, exact of integers, v = stored * step + shift; r = [k, a] as float64.  ``power``: beta in steps of 2^-24;
    base^beta is a product of whole powers and of repeated square roots (graph/powers.py).  inv = f32(1 / base^beta).
    integers: f = (f32(v) * inv) * factor, s = [step, shift, lo, hi, zero, factor];  float: x * inv.
    units = pixels."""

    kind: ClassVar[str] = "response_norm"
    src: Layout
    dst: Layout
    size: int
    power: int
    sign: bool = False

    @property
    def units(self) -> int:
        return self.dst.pixels

    @property
    def pitch(self) -> int:
        """Elements of the row of squares in scratch memory: zeros, those of the channels, zeros."""
        return -(-(self.src.stride + 16 + self.size) // 16) * 16 + 16

    @property
    def scratch_bytes(self) -> int:
        return 8 * self.pitch

    @property
    def label(self) -> str:
        return f"response_norm_{self.src.dtype}_{self.dst.dtype}"
