"""What a depthwise kernel computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lowbit.kernels.geometry import ConvGeometry
from lowbit.kernels.layout import FLOATS
from lowbit.kernels.spec import KernelSpec

__all__ = ["DepthwiseSpec"]


@dataclass(frozen=True, kw_only=True)
class DepthwiseSpec(ConvGeometry, KernelSpec):
    """Depthwise convolution: acc[c] = sum over taps stored_x[c] * w[tap, c], same epilogue and
    ``s``/``b`` layout as ConvSpec with N16 = dst.stride.  Weights: [tap][dst.stride], int8 / int16 /
    float32 or float16 by ``form`` ("f32", "f16", "i8", "i16"); ``wide``: int16 pairs [tap][high, low][dst.stride], b float64.
    units = rows (n * h)."""

    kind: ClassVar[str] = "depthwise"
    unsaid: ClassVar[frozenset[str]] = frozenset({"bounded", "few_residuals"})
    act: str
    weight: str
    form: str
    acc_shift: int = 0
    wide: bool = False
    sign: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        types = self.act if self.act == self.weight in FLOATS else self.act + self.weight
        acc = "f32" if self.form in FLOATS else "i64" if self.wide else "i32"
        return f"depthwise_conv2d_{types}_{acc}__{self.form}"
