"""What kernels that work element by element compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec

__all__ = ["BinarySpec", "LutSpec", "UnarySpec"]


@dataclass(frozen=True, kw_only=True)
class BinarySpec(KernelSpec):
    """Elementwise over all physical channels, ``fn`` in add, sub, maximum, minimum, mul, affine, rescale.

    integer: s = [x_step, x_shift, x_mult, r_step, r_shift, r_mult, lo, hi, zero]
      add: f = fence(vx * x_mult) + fence(vr * r_mult)   (sub: the caller negates r_mult)
      maximum, minimum: f = the larger or the smaller of vx * x_mult and vr * r_mult
      mul: f = f32(int32(vx) * int32(vr)) * x_mult
      rescale: f = vx * x_mult
      affine: f = fence(vx * m[c]) + a[c], with m = w (float32[stride]) and a = b (float32[stride])
    float (dst f32): s = [lo, hi]; add, mul, maximum (NaN where either is); affine: fence(x * w[c]) + b[c];
      rescale: x; all clamped to [lo, hi].
    ``broadcast``: "none", or "pixel": r has h = w = 1 and n in (1, dst.n), applied to every pixel.
    Mixed dtypes allowed per operand (u8 / i16).  units = rows (n * h).
    """

    kind: ClassVar[str] = "binary"
    fn: str
    src: Layout
    other: Layout | None
    dst: Layout
    broadcast: str = "none"
    sign: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        types = self.src.dtype + (self.other.dtype if self.other else "") + "_" + self.dst.dtype
        return f"{self.fn}_{types}"


@dataclass(frozen=True, kw_only=True)
class LutSpec(KernelSpec):
    """o = w[index] over all physical channels; index = stored (u8 source, 256 entries) or
    stored + 32768 (i16 source, 65536 entries); table elements have the dtype of dst (u8, i16, f32)."""

    kind: ClassVar[str] = "lut"
    src: Layout
    dst: Layout

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"lut_{self.src.dtype}_{self.dst.dtype}"


@dataclass(frozen=True, kw_only=True)
class UnarySpec(KernelSpec):
    """float32 only: o = fn(x), ``fn`` a name of graph/ops UNARY or "clamp"; s = the function's parameters in
    the order of kernels/elementwise/parameters.py (clamp: [lo, hi])."""

    kind: ClassVar[str] = "unary"
    fn: str
    src: Layout
    dst: Layout

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"{self.fn}_{self.dst.dtype}"
