"""Fused multiply-adds of float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.forms.transformed import Facts, Terms
from lowbit.kernels.conv2d.selection.cost import WinogradCost
from lowbit.kernels.conv2d.selection.gpu_tiles import FloatTileCost, ThreadCost
from lowbit.kernels.conv2d.selection.neon_tiles import NeonCost
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.selection.tiles import VectorCost

__all__ = ["FLOAT32", "FORMS"]


@dataclass(frozen=True, kw_only=True)
class _Float(Form):
    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        return problem.src.dtype in self.reads

    def winograd(self, m: int, problem: ConvProblem, facts: Facts) -> Terms | None:
        return Terms()


FLOAT32 = _Float(
    name="f32",
    k_group=1,
    element="f32",
    reads=("f32",),
    exact="float32: |error| <= gamma(K + 2) * sum |x w|",
    words=Words("fused multiply-add", "float", "multiplies one pair of float32 a lane"),
    arithmetic="lowbit.kernels.conv2d.arithmetic.float32:multiply_add",
    x86=VectorCost(1.0, 0, winograd=WinogradCost(1.0, 1)),
    neon=NeonCost(4, 1, 1, batch=4, inputs=1, winograd=WinogradCost(4.0, 1)),
    gpu=ThreadCost(1.0),
)


@dataclass(frozen=True, kw_only=True)
class _Threads(_Float):
    """On GPUs: tiles of threads (kernels/gpu/conv2d/floats.py)."""

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        return super().holds(problem, weights) and problem.src.stride % self.k_group == 0

    def tried(self, mr: int, nr: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return (4 * (1 << mr % 4), 32), (1 + mr % 3, 1)


FORMS: tuple[Form, ...] = (
    FLOAT32,
    _Float(  # on GPUs, of layers that no form of tensor cores takes: FLOAT32's kernels on halves (kernels/gpu/halves.py)
        name="f16",
        k_group=1,
        element="f16",
        reads=("f16",),
        features="cuda",
        exact="float32 sums of products of float16: |error| <= gamma(K + 2) * sum |x w|",
        words=FLOAT32.words,
        arithmetic=FLOAT32.arithmetic,
        gpu=ThreadCost(1.0),
    ),
    _Threads(
        name="f32_threads",
        k_group=4,
        element="f32",
        reads=("f32",),
        features="cuda",
        exact=FLOAT32.exact,
        words=FLOAT32.words,
        builder="lowbit.kernels.gpu.conv2d.floats:build",
        grouped=False,
        gpu=FloatTileCost(),
    ),
)
