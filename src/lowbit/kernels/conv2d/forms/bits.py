"""One-bit products by logic and counting: x * w of -1 and +1 is 1 - 2 (x xor w) of their bits.

With n bits, sum x w = ones(w) - ones(x xor w) up to what the bias holds: kernels subtract ones(x xor w) alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.selection.gpu_tiles import ThreadCost
from lowbit.kernels.conv2d.selection.neon_tiles import NeonCost
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.selection.tiles import VectorCost
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.data_movement.spec import PackBitsSpec
from lowbit.kernels.layout import Layout
from lowbit.kernels.packing import Packing

__all__ = ["BYTE_STEPS", "FORMS", "BitForm"]

BYTE_STEPS = 31  # a step adds at most 8 to a byte counter: 31 * 8 < 256


@dataclass(frozen=True, kw_only=True)
class BitForm(Form):
    """Inputs are packed to bits first (PackBitsSpec)."""

    element: str = "bit"
    reads: tuple[str, ...] = ("bits",)
    exact: str = "int32 counts"
    techniques: frozenset[str] = frozenset({"bits"})
    grouped: bool = False  # a bit is -1 or +1: no zeros outside a group
    settles: bool = False

    pack_kind = PackBitsSpec.kind
    pack_cycles = (0.25, 0.0)

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        single = problem.weight == "b1" and problem.act in ("u1", "b1") and problem.src.dtype == "u8"
        return single and bool((np.abs(weights) == 1).all())  # not where groups have scales of their own

    def source(self, src: Layout) -> Layout:
        return replace(src, dtype="bits", stride=-(-src.c // 32) * 4)

    def pack(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> PackBitsSpec:
        return PackBitsSpec(src=problem.src, dst=spec.src)

    def bias_offset(self, spec: ConvSpec, packing: Packing, problem: ConvProblem, weights: np.ndarray) -> np.ndarray:
        return np.asarray((weights > 0).sum(axis=(1, 2, 3), dtype=np.int64) << spec.acc_shift)


@dataclass(frozen=True, kw_only=True)
class _Shuffle(BitForm):
    def depth(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> int | None:
        return 0 if packing.steps <= BYTE_STEPS else BYTE_STEPS


FORMS: tuple[Form, ...] = (
    BitForm(
        name="bit_popcount",
        k_group=32,
        features="avx512f avx512vpopcntdq",
        words=Words("xor + vpopcntd", "bits", "counts 32 one-bit products a lane"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.bits:popcount",
        x86=VectorCost(1.5, 1),
    ),
    _Shuffle(
        name="bit_shuffle",
        k_group=32,
        features="avx2",
        exact="a step adds at most 8 to a byte counter: widened after 31",
        words=Words("xor + vpshufb", "bits", "looks up the counts of one-bit products, four bits at a time"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.bits:shuffle",
        x86=VectorCost(4.0, 6),
        sum_bits=8,
        longest=BYTE_STEPS,
    ),
    BitForm(
        name="bit_portable",
        k_group=32,
        words=Words("xor + popcount", "bits", "counts 32 one-bit products a lane"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.bits:popcount",
        x86=VectorCost(12.0, 8),
        neon=NeonCost(4, 4, 2, temporaries=4),
        gpu=ThreadCost(4.0),
    ),
)
