"""Scale and zero point of a quantized tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.errors import NumericsError
from lowbit.numerics.qtype import QType

__all__ = ["QParams"]


@dataclass(frozen=True, eq=False)
class QParams:
    """x ~ scale * (q - zero_point).

    ``scale``: float32, > 0 and finite; shape () per tensor, (C,) per channel along ``axis``.
    ``zero_point``: an integer in [qmin, qmax]; 0 for weights and for ``b1``.
    ``container``: bits that one value takes in storage; ``qtype.bits`` when packed, 8 when a
    narrower value is kept in a byte (``4/int8``).
    ``group_size`` / ``group_scale``: per-group weights with two-level scales (VS-Quant, Dai et al.
    2021, eq. 7): the scale of input-channel group g of output channel c is
    ``scale[c] * group_scale[c, g]`` with small integer group_scale >= 1, so that the sum over all
    groups stays one integer: sum_g group_scale[c, g] * sum_k x_k q_k.
    """

    qtype: QType
    scale: np.ndarray
    zero_point: int = 0
    axis: int | None = None
    container: int = 0
    group_size: int | None = None
    group_scale: np.ndarray | None = None

    def __post_init__(self) -> None:
        scale = np.asarray(self.scale, np.float32)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "zero_point", int(self.zero_point))
        object.__setattr__(self, "container", int(self.container or self.qtype.bits))
        if not np.all(np.isfinite(scale)) or not np.all(scale > 0):
            raise NumericsError(f"scale must be positive and finite, got min {scale.min()} max {scale.max()}")
        if self.qtype.bipolar:
            if self.zero_point:
                raise NumericsError("b1 has no zero point")
        elif not self.qtype.qmin <= self.zero_point <= self.qtype.qmax:
            raise NumericsError(f"zero point {self.zero_point} outside {self.qtype} [{self.qtype.qmin}, {self.qtype.qmax}]")
        if (scale.ndim == 0) != (self.axis is None):
            raise NumericsError("a scale of shape () has no axis; a scale of shape (C,) needs one")

    def same_grid(self, other: QParams) -> bool:
        """Whether both map every integer to the same real number."""
        return (
            self.qtype == other.qtype
            and self.zero_point == other.zero_point
            and self.axis == other.axis
            and np.array_equal(self.scale, other.scale)
        )

    def __str__(self) -> str:
        s = self.scale
        text = f"{s:.9g}" if s.ndim == 0 else f"[{s.min():.9g}..{s.max():.9g}]@{self.axis}"
        zero = f", zero_point={self.zero_point}" if self.zero_point else ""
        box = f", container={self.container}" if self.container != self.qtype.bits else ""
        group = f", group_size={self.group_size}" if self.group_size else ""
        return f"{self.qtype}(scale={text}{zero}{box}{group})"
