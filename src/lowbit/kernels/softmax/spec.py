"""What a softmax kernel computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec

__all__ = ["SoftmaxSpec"]


@dataclass(frozen=True, kw_only=True)
class SoftmaxSpec(KernelSpec):
    """Softmax over the c logical channels of each pixel.

    integer: e_i = w[max_j stored_j - stored_i] (int32 table), p_i = f32(e_i) / f32(sum_j e_j) (IEEE
    division of correctly rounded conversions); dst f32: o = p; integer dst: result of f = p * s[0],
    s = [multiplier, lo, hi, zero].   float: exp(x - max) / sum.
    Channels c..stride-1 of dst get 0.  units = rows (n * h)."""

    kind: ClassVar[str] = "softmax"
    src: Layout
    dst: Layout
    sign: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"softmax_{self.src.dtype}_{self.dst.dtype}"
