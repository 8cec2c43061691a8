"""NEON: one multiplier for bytes and int16, byte counts and table look-ups; sdot where the CPU has it.

``smull`` and ``sdot`` multiply signed bytes.  Stored inputs are unsigned; where they can exceed 127 the kernel
flips their upper bit, x ^ 0x80 = x - 128 as a signed byte, and the bias holds 128 * sum(w) (``ConvSpec.centre``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.kernels.conv2d.forms.bits import BYTE_STEPS, BitForm
from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.forms.int16 import Int16Form
from lowbit.kernels.conv2d.forms.look_up import LookUpForm
from lowbit.kernels.conv2d.forms.panels import run_steps
from lowbit.kernels.conv2d.forms.transformed import Facts, Terms, bytes_fit
from lowbit.kernels.conv2d.pack import weight_blocks
from lowbit.kernels.conv2d.runs import find_runs
from lowbit.kernels.conv2d.selection.cost import WinogradCost
from lowbit.kernels.conv2d.selection.exactness import int16_depth, pairs_depth
from lowbit.kernels.conv2d.selection.neon_tiles import NeonCost
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.packing import Packing

__all__ = ["FORMS"]

_FLIPPED = 128  # what a signed byte has less than the unsigned one
_BATCH, _PAIRS_BATCH = 8, 4  # steps whose inputs are loaded at once
_INT16 = 32767


@dataclass(frozen=True, kw_only=True)
class _Signed(Form):
    """Bytes, of which ``centre`` is subtracted to multiply them as signed ones."""

    element: str = "i8"
    reads: tuple[str, ...] = ("u8",)

    def centre(self, act_max: int) -> int:
        return _FLIPPED if act_max >= _FLIPPED else 0

    def bias_offset(self, spec: ConvSpec, packing: Packing, problem: ConvProblem, weights: np.ndarray) -> np.ndarray:
        return np.asarray(spec.centre * weights.sum(axis=(1, 2, 3), dtype=np.int64) << spec.acc_shift)


@dataclass(frozen=True, kw_only=True)
class _Sdot(_Signed):
    def winograd(self, m: int, problem: ConvProblem, facts: Facts) -> Terms | None:
        return Terms() if bytes_fit(m, problem.act_max, facts) and 4 * problem.act_max <= 127 else None


@dataclass(frozen=True, kw_only=True)
class _Smull(_Signed):
    def depth(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> int | None:
        blocks = weight_blocks(weights, packing)
        return int16_depth(blocks, -spec.centre, act_max - spec.centre, run_steps(packing), _BATCH)


@dataclass(frozen=True, kw_only=True)
class _SmullPairs(_Signed):
    """Pairs as in pairs.py, but of signed bytes that are shifted to the middle of their range in the kernel itself."""

    grouped: bool = False

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        runs = find_runs(problem, self.k_group)
        # what lies behind a run's last value would be multiplied, too
        return runs.length % self.k_group == 0 and super().holds(problem, weights)

    def centre(self, act_max: int) -> int:
        return (act_max + 1) // 2

    def depth(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> int | None:
        blocks = weight_blocks(weights, packing)
        return pairs_depth(blocks, -spec.centre, act_max - spec.centre, run_steps(packing) // 2, _PAIRS_BATCH)

    def bias_offset(self, spec: ConvSpec, packing: Packing, problem: ConvProblem, weights: np.ndarray) -> np.ndarray:
        rows = weight_blocks(weights, packing).astype(np.int64)
        products = (rows[:, 0::2] * rows[:, 1::2]).sum((1, 3)).reshape(-1)[: packing.n]
        return np.asarray(super().bias_offset(spec, packing, problem, weights) - (products << spec.acc_shift))


@dataclass(frozen=True, kw_only=True)
class _Counted(BitForm):
    def depth(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> int | None:
        """All steps, or equal blocks of whole batches.  The sum of all counts must stay in int16."""
        if packing.steps * packing.k_group > _INT16:
            return None
        if packing.steps <= BYTE_STEPS:
            return 0
        batches = -(-run_steps(packing) // _BATCH)
        blocks = -(-batches // (BYTE_STEPS // _BATCH))
        return _BATCH * -(-batches // blocks)


_SDOT = Words("sdot", "bytes", "multiplies four pairs of bytes a lane, whatever their values, into 32 bits", True)
_ON_SUMS = Words("add + smlal", "bytes", "two products of bytes a lane in one multiplication, added in 16 bits", paired=True)

FORMS: tuple[Form, ...] = (
    _Counted(
        name="bit_cnt",
        k_group=8,
        features="neon",
        exact="a step adds at most 8 to a byte counter: widened after 24",
        words=Words("xor + cnt", "bits", "counts 8 one-bit products a lane"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.neon:of_bits",
        neon=NeonCost(16, 3, 1.5, spread=1, batch=_BATCH, inputs=1, temporaries=3, flush=2),
        sum_bits=8,
        longest=BYTE_STEPS // _BATCH * _BATCH,
    ),
    LookUpForm(
        name="lut_tbl",
        k_group=2,
        bits=2,
        features="neon",
        words=Words("tbl", "look-up", "looks up the sum of two two-bit products a byte"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.neon:of_tables",
        neon=NeonCost(16, 2, 2, spread=3, batch=4, temporaries=3, flush=2),
    ),
    _Sdot(
        name="u8_sdot",
        k_group=4,
        features="dotprod",
        exact="sdot sums four products into int32",
        words=_SDOT,
        arithmetic="lowbit.kernels.conv2d.arithmetic.neon:of_bytes_by_four",
        neon=NeonCost(4, 1, 0.5, batch=4, inputs=1, both_pipes=True, winograd=WinogradCost(2.0, 2)),
    ),
    _SmullPairs(
        name="u8_smull_pairs",
        k_group=4,
        features="neon",
        techniques=frozenset({"pairs"}),
        exact="proven: sums fit bytes and their products int16 (pairs_depth)",
        words=_ON_SUMS,
        arithmetic="lowbit.kernels.conv2d.arithmetic.neon:of_sums",
        neon=NeonCost(8, 4, 2, kept=2, spread=3, batch=_PAIRS_BATCH, inputs=2, temporaries=4, flush=2),
        rows=2,
        settles=False,
        sum_bits=16,
    ),
    _Smull(
        name="u8_smull",
        k_group=2,
        features="neon",
        exact="proven: the products of depth steps stay in int16 (int16_depth)",
        words=Words("smull + smlal", "bytes", "multiplies one pair of bytes a lane and adds in 16 bits"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.neon:of_bytes",
        neon=NeonCost(8, 2, 2, kept=2, spread=1, batch=_BATCH, inputs=1, temporaries=2, flush=2),
        sum_bits=16,
    ),
    Int16Form(
        name="i16_smlal",
        k_group=1,
        features="neon",
        words=Words("smlal", "int16", "multiplies one pair of int16 a lane and adds in 32 bits"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.neon:of_words",
        neon=NeonCost(8, 2, 2, kept=2, batch=_BATCH, inputs=1, winograd=WinogradCost(4.0, 2)),
    ),
)
