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

    ``log``, integer: y_i = -(f32(max_j stored_j - stored_i) * s[4] + f32(L(sum_j e_j) - t[4097]) * 2^-24) for p_i, L the
    logarithm of graph/logarithm.py by its table t[0..4096]; dst f32 then reads s[4], too.   float: x - max - log(sum).
    Channels c..stride-1 of dst get 0.  units = rows (n * h)."""

    kind: ClassVar[str] = "softmax"
    unsaid: ClassVar[frozenset[str]] = frozenset({"log"})
    src: Layout
    dst: Layout
    sign: bool = False
    log: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"{'log_' * self.log}softmax_{self.src.dtype}_{self.dst.dtype}"
