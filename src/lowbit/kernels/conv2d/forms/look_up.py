"""Products of one or two bits out of tables: a byte of inputs picks a table, a byte of weights the sum in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.look_up import fits_index, product_table
from lowbit.kernels.conv2d.pack import weight_blocks
from lowbit.kernels.conv2d.runs import find_runs
from lowbit.kernels.conv2d.selection.exactness import lut_depth
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.selection.tiles import ByteSumCost
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.data_movement.spec import PackFieldsSpec
from lowbit.kernels.layout import Layout
from lowbit.kernels.packing import Packing

__all__ = ["FORMS", "LookUpForm"]


@dataclass(frozen=True, kw_only=True)
class LookUpForm(Form):
    """Inputs are packed first, ``k_group`` fields of ``bits`` bits a byte (PackFieldsSpec).  Sums are bytes that start
    from ``ConvSpec.start`` (exactness.lut_depth)."""

    element: str = "index"
    reads: tuple[str, ...] = ("u8",)
    exact: str = "proven: byte and int16 sums hold (lut_depth)"
    techniques: frozenset[str] = frozenset({"look-up"})
    grouped: bool = False
    settles: bool = False
    sum_bits: int = 8

    pack_kind = PackFieldsSpec.kind
    pack_cycles = (0.1, 0.0)

    @property
    def group(self) -> int:
        return 1

    @property
    def table_bytes(self) -> int:
        return 4 ** (self.bits * self.k_group)

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        small = problem.act_max < 2**self.bits and fits_index(weights, self.bits)
        return small and problem.src.dtype == "u8"

    def prove(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> ConvSpec | None:
        runs = find_runs(spec, spec.k_group)
        safe = lut_depth(weight_blocks(weights, packing), act_max, runs.steps(spec.k_group))
        return None if safe is None else replace(spec, depth=safe[0], start=safe[1])

    def believe(self, spec: ConvSpec, depth: int, packing: Packing, weights: np.ndarray, act_max: int) -> ConvSpec | None:
        return self.prove(spec, packing, weights, act_max)  # what sums start from is found along with the depth

    def source(self, src: Layout) -> Layout:
        c = -(-src.c // self.k_group)
        return replace(src, c=c, stride=-(-c // 16) * 16)

    def packing(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> Packing:
        taps, channels = spec.taps, weights.shape[3]
        return Packing(
            "panels", self.element, weights.shape[0], taps, channels, spec.src.c * self.k_group, spec.nr, self.k_group,
            channels=channels, bits=self.bits,
        )  # fmt: skip

    def pack(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> PackFieldsSpec:
        return PackFieldsSpec(src=problem.src, dst=spec.src, fields=self.k_group, bits=self.bits)

    def table(self, packing: Packing) -> np.ndarray:
        return product_table(self.k_group, self.bits)


FORMS: tuple[Form, ...] = (
    LookUpForm(
        name="lut_shuffle_bits",
        k_group=4,
        bits=1,
        features="avx2",
        words=Words("vpshufb", "look-up", "looks up the sum of four one-bit products a byte"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.look_up:shuffle",
        x86=ByteSumCost(1.1, 2),
    ),
    LookUpForm(
        name="lut_permute",
        k_group=3,
        bits=2,
        features="avx512f avx512bw avx512vbmi",
        words=Words("vpermb", "look-up", "looks up the sum of three two-bit products a byte"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.look_up:permute",
        x86=ByteSumCost(1.05, 2, 3),
    ),
    LookUpForm(
        name="lut_shuffle",
        k_group=2,
        bits=2,
        features="avx2",
        words=Words("vpshufb", "look-up", "looks up the sum of two two-bit products a byte"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.look_up:shuffle",
        x86=ByteSumCost(1.1, 2),
    ),
)
