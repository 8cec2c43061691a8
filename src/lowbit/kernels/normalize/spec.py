"""What the kernels of normalisations compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec

__all__ = ["LayerNormSpec", "MomentsSpec", "NormalizeSpec", "StatisticsSpec"]


@dataclass(frozen=True, kw_only=True)
class LayerNormSpec(KernelSpec):
    """y = (x - mean) * r * w[c] + b[c] over the c logical channels of each pixel (docs/numerics.md, "Normalisation").

    s1 = sum v, s2 = sum v^2, exact in float64; n: their count; float64 constants e, floor = r[0], r[1] (as argument ``r``).
    integers, v = stored * step + shift:  with ``centred`` whole = floor(s1 / n), rest = s1 - n whole, else 0, 0;
      q = s2 - 2 whole s1 + n whole^2;  var = q - rest^2 / n;  root = sqrt(var / d + e), d = n with ``mean``, else 1;
      inv = f32(1 / max(root, floor)), 0 where var is 0;  part = f32(rest / n);
      f = fence(((f32(v) - f32(whole)) - part) * (inv * w[c])) + b[c],  s = [step, shift, lo, hi, zero].
    float:  mean = s1 / n;  var = max(s2 - s1 mean, 0);  whole = f32(mean), part = f32(mean - whole);  the result is
    the same f, clamped to [lo, hi] = s.
    w, b: float32[stride], 0 behind channel c.  Channels c..stride-1 of dst get any value.  units = pixels."""

    kind: ClassVar[str] = "layer_norm"
    src: Layout
    dst: Layout
    centred: bool
    mean: bool
    sign: bool = False

    @property
    def units(self) -> int:
        return self.dst.pixels

    @property
    def label(self) -> str:
        return f"layer_norm_{self.src.dtype}_{self.dst.dtype}"


@dataclass(frozen=True, kw_only=True)
class MomentsSpec(KernelSpec):
    """Sums over each row of pixels: dst (f64, the rows of src, w = 2) holds sum v and sum v^2 of every channel,
    v = stored * step + shift, s = [step, shift]; of floats v = x.  units = rows (n * h)."""

    kind: ClassVar[str] = "moments"
    src: Layout
    dst: Layout

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"moments_{self.src.dtype}"


@dataclass(frozen=True, kw_only=True)
class StatisticsSpec(KernelSpec):
    """From the sums of rows (src, as MomentsSpec leaves them) of ``area`` pixels an image to what each channel is moved and
    multiplied by: dst (f32, h = 1, w = 3) holds whole, part and inv * w[c] of LayerNormSpec, taken over the c / ``groups``
    channels of each group and all pixels of the image.  ``exact``: of integers.  r = [e, floor], w: as there.  units = images."""

    kind: ClassVar[str] = "statistics"
    src: Layout
    dst: Layout
    area: int
    groups: int
    exact: bool
    centred: bool
    mean: bool

    @property
    def units(self) -> int:
        return self.dst.n

    @property
    def scratch_bytes(self) -> int:
        return 2 * self.src.stride * 8


@dataclass(frozen=True, kw_only=True)
class NormalizeSpec(KernelSpec):
    """f = fence(((f32(v) - whole[c]) - part[c]) * factor[c]) + b[c]; r: the table of StatisticsSpec (``table``), of the pixel's
    image; b: float32[stride]; s = [step, shift, lo, hi, zero]; float: the
    result is f, clamped to [lo, hi] = s.  units = rows (n * h)."""

    kind: ClassVar[str] = "normalize"
    src: Layout
    table: Layout
    dst: Layout
    sign: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"normalize_{self.src.dtype}_{self.dst.dtype}"
