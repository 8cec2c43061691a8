"""GPUs: four products of bytes in one instruction, dp4a, without tensor cores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.selection.gpu_tiles import DotTileCost
from lowbit.kernels.conv2d.selection.problem import ConvProblem

__all__ = ["FORMS"]


@dataclass(frozen=True, kw_only=True)
class _Dot(Form):
    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        return super().holds(problem, weights) and problem.src.stride % self.k_group == 0

    def tried(self, mr: int, nr: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return (4 * (1 << mr % 4), 32), (1 + mr % 3, 1)


FORMS: tuple[Form, ...] = (
    _Dot(
        name="u8_dp4a",
        k_group=4,
        element="i8",
        reads=("u8",),
        features="cuda dp4a",
        exact="dp4a sums four products into int32, without saturation",
        words=Words("dp4a", "bytes", "multiplies four pairs of bytes, whatever their values, into 32 bits", True),
        builder="lowbit.kernels.gpu.conv2d.dot:build",
        grouped=False,
        gpu=DotTileCost(),
    ),
)
