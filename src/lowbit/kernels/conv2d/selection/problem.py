"""What a convolution asks for, before anybody decides how to compute it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.data_movement.spec import (
    PackBitsSpec,
    PackBytesSpec,
    PackFieldsSpec,
    PackHalvesSpec,
    PackPairsSpec,
    PackTapsSpec,
)
from lowbit.kernels.geometry import ConvGeometry
from lowbit.kernels.layout import FLOATS
from lowbit.kernels.packing import Packing
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.numerics.float_products import FLOAT32, FloatProducts

__all__ = ["Choice", "ConvProblem", "PackSpec"]

PackSpec = PackBitsSpec | PackBytesSpec | PackFieldsSpec | PackHalvesSpec | PackPairsSpec | PackTapsSpec
"""A kernel that makes what a form reads."""


@dataclass(frozen=True, kw_only=True)
class ConvProblem(ConvGeometry):
    """A dense (maybe grouped) convolution over stored integers or float32.

    ``layer``: for messages.  ``src`` is u8, i16, f32 or f16.
    ``act``, ``weight``: texts of the QTypes, "f32" or "f16" for floats.  ``act_max``: largest |stored input|.
    ``floats``: how float32 operands may be multiplied.
    ``acc_shift``: log2 of the activation's step (1 for b1: q = 2 * stored - 1).
    """

    layer: str
    op: str
    groups: int
    act: str
    weight: str
    act_max: int = 255
    acc_shift: int = 0
    sign: bool = False
    floats: FloatProducts = FLOAT32

    @property
    def wide(self) -> bool:
        """Whether an operand has more than 8 bits: float64-exact sums, float64 bias."""
        return any(text not in FLOATS and int(text[1:]) > 8 for text in (self.act, self.weight))


@dataclass(frozen=True, eq=False)
class Choice:
    """How a problem is computed.

    ``packing``: how its weights are laid out (a caller with per-group scales fills them in).
    ``table``: the kernel's int32 argument ``t``, or None.
    ``pack``: the kernel that makes ``spec.src`` from the problem's src, where they differ.
    ``bias_offset``: int64[N] to add to the bias: the part of the sum that the kernel leaves out.
    ``split``: fraction of the steps that are done twice.
    ``find_bias_rows``: what :attr:`bias_rows` is found by; None: there are none.
    """

    spec: ConvSpec | WinogradSpec
    packing: Packing
    table: np.ndarray | None = None
    pack: PackSpec | None = None
    bias_offset: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    split: float = 0.0
    find_bias_rows: Callable[[], np.ndarray] | None = None

    @property
    def bias_rows(self) -> np.ndarray:
        """int64[rows][N], what a Winograd kernel finds behind the bias (``WinogradSpec.bias_rows``)."""
        return np.zeros((0, 1), np.int64) if self.find_bias_rows is None else self.find_bias_rows()
