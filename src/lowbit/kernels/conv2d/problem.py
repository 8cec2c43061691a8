"""What selection is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.kernels.layout import Layout
from lowbit.kernels.packing import Packing
from lowbit.kernels.spec import ConvSpec

__all__ = ["Choice", "ConvProblem"]


@dataclass(frozen=True)
class ConvProblem:
    """One dense or grouped convolution or linear layer, before a kernel is chosen for it.

    ``act``, ``weight``: text of the QTypes ("f32" for float).  ``act_max``: largest stored
    activation (i16: the largest magnitude is 32768).  ``wide``: an operand has more than 8 bits.
    ``acc_shift``, ``sign``: see ConvSpec.  ``layer``: for error messages.
    """

    layer: str
    op: str
    src: Layout
    dst: Layout
    residual: Layout | None
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    act: str
    weight: str
    act_max: int
    acc_shift: int = 0
    sign: bool = False
    wide: bool = False


@dataclass(frozen=True, eq=False)
class Choice:
    """The kernel, how its weights are packed, and its int32 table (pointer t), if any.

    ``needs_bits``: spec.src is a "bits" layout; the caller packs the activation first and adds the
    number of ones of each output channel's weights (shifted by acc_shift) to the bias.
    """

    spec: ConvSpec
    packing: Packing
    table: np.ndarray | None = None
    needs_bits: bool = False
