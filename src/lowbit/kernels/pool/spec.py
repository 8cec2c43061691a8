"""What a pooling kernel computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec

__all__ = ["PoolSpec"]


@dataclass(frozen=True, kw_only=True)
class PoolSpec(KernelSpec):
    """Pooling over explicit windows: t = [y0[h] | y1[h] | x0[w] | x1[w]] (half-open, within src).

    max, min: stored maximum or minimum, dst dtype = src dtype.   (quantized tensors keep their parameters)
    avg: integer  f = f32(sum of stored * step + shift, exact) * m,  s = [step, shift, lo, hi, zero | m[h*w]]
         float    f = (sum of x) * m,  s = [m[h*w]]
    norm: integer  f = f32(sqrt(f64(sum of (stored * step + shift)^2))) * m,  s = [step, shift, lo, hi, zero | m], exact to 2^53
         float    f = f32(sqrt(sum of f64(x)^2)),  s = []
    ``wide``: the sum is float64 (integers: exact up to 2^53), else int32 or float32.
    units = output rows (n * h).
    """

    kind: ClassVar[str] = "pool"
    fn: str  # "max", "min", "avg" or "norm"
    src: Layout
    dst: Layout
    sign: bool = False
    wide: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"{self.fn}_pool2d_{self.src.dtype}_{self.dst.dtype}{'_f64' if self.wide else ''}"
