"""Which pixels a convolution reads and writes: the same for every way to compute it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lowbit.kernels.layout import Layout

__all__ = ["ConvGeometry", "results_bounded"]


def results_bounded(multipliers: np.ndarray, residual_multiplier: float = 0.0) -> bool:
    """Whether |acc * multiplier + v * residual_multiplier| < 2^31 for every int32 acc and every difference v of bytes."""
    return float(np.abs(multipliers).max(initial=0.0)) <= 2.0**-2 and abs(residual_multiplier) <= 2.0**20


@dataclass(frozen=True, kw_only=True)
class ConvGeometry:
    """Of a convolution over NHWC pixels: for image b, output pixel (y, x) and tap (ky, kx) the input pixel

        (y * stride[0] + ky * dilation[0] - padding[0],  x * stride[1] + kx * dilation[1] - padding[1])

    ``src``, ``dst``: layouts of input and output; the halo of ``src`` covers every pixel that is read.  ``residual``:
    layout of what is added to the result, one for each of its elements; None: nothing is.  ``few_residuals``: its stored
    values are 0 .. 15.  ``bounded``: int32 holds every result before it is clamped (:func:`results_bounded`).
    ``kernel``: taps (kh, kw).  ``stride``, ``dilation``: (vertical, horizontal).  ``padding``: (top, left).
    """

    src: Layout
    dst: Layout
    residual: Layout | None = None
    few_residuals: bool = False
    bounded: bool = False
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]

    @property
    def geometry(self) -> dict[str, Any]:
        """Keyword arguments of another object with this geometry."""
        return {f.name: getattr(self, f.name) for f in fields(ConvGeometry)}

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of the first tap of output pixel (0, 0) in ``src`` with its halo."""
        return self.src.top - self.padding[0], self.src.left - self.padding[1]
