"""Two products in one multiplication (Winograd, "A new algorithm for inner product", 1968, equation 1).

    (a + v)(b + u) = a u + b v + a b + u v

with inputs a, b and weights u (of a), v (of b).  The sum of a b belongs to the pixel and is found once for all output
channels (PackPairsSpec); the sum of u v belongs to the channel and goes into the bias.  An addition is cheaper than a
multiplication where the CPU has more units for it: half the multiplications, two additions each.

For bytes, a + v must be unsigned and b + u signed: a is stored as a + first and b as b - second.

Where an addition may run on a unit that does not multiply, the units that do would wait: a few inputs are ``mixed`` in that
are multiplied as they are (decision 42).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.forms.transformed import Facts, Terms, bytes_fit, largest_inputs
from lowbit.kernels.conv2d.selection.cost import WinogradCost
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.selection.tiles import VectorCost
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.data_movement.spec import PackPairsSpec, WordRole, word_roles
from lowbit.kernels.layout import Layout
from lowbit.kernels.packing import Packing

__all__ = ["FORMS", "pair_constants", "pair_offsets"]

_INT16, _INT32 = 32767, 2**31 - 1


def pair_offsets(weights: np.ndarray, act_max: int) -> tuple[int, int] | None:
    """(first, second) with which every a + first + v and b - second + u fits a byte; None where there are none."""
    low, high = min(int(weights.min(initial=0)), 0), max(int(weights.max(initial=0)), 0)
    if act_max + high - low > 255:
        return None
    return -low, max(0, act_max + high - 127)


def pair_constants(weights: np.ndarray, group: int, first: int, second: int, mixed: bool) -> np.ndarray:
    """int64[N]: what the products hold beside a u + b v and the pixel's part, for weights (N, kh, kw, c), c a
    multiple of 2 * group: sum of first * u - second * v + u v."""
    w = np.asarray(weights, np.int64).reshape(*weights.shape[:3], -1, group)
    roles = np.array(word_roles(w.shape[3], mixed))
    u, v = (w[..., roles == role, :] for role in (WordRole.A, WordRole.B))
    return np.asarray((first * u - second * v + u * v).sum((1, 2, 3, 4)))


@dataclass(frozen=True, kw_only=True)
class _Pairs(Form):
    """A step takes two rows of the panel: the weights of a and those of b.  Pixels are followed by their sum of a b."""

    rows: int = 2
    grouped: bool = False
    settles: bool = False

    pack_kind = PackPairsSpec.kind
    pack_cycles = (0.1, 15.0)

    def offsets(self, weights: np.ndarray, act_max: int) -> tuple[int, int] | None:
        """(first, second) of PackPairsSpec; None where sums do not fit."""
        raise NotImplementedError

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        if problem.src.dtype != "u8" or problem.wide:  # sums of bytes fit int16, whatever 16-bit weights hold
            return False
        return self.offsets(weights, problem.act_max) is not None and problem.src.stride % 16 == 0

    def source(self, src: Layout) -> Layout:
        (dtype,) = self.reads
        return replace(src, dtype=dtype, c=src.stride, stride=src.stride + (2 if dtype == "i16" else 4))

    def packing(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> Packing:
        n, taps, channels = weights.shape[0], spec.taps, weights.shape[3]
        rows = self.k_group // self.rows
        return Packing("panels", self.element, n, taps, channels, spec.src.c, spec.nr, rows, channels=channels)

    def pack(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> PackPairsSpec:
        first, second = self._known_offsets(problem, weights)
        return PackPairsSpec(src=problem.src, dst=spec.src, first=first, second=second, mixed=self.mixed)

    def bias_offset(self, spec: ConvSpec, packing: Packing, problem: ConvProblem, weights: np.ndarray) -> np.ndarray:
        padded = np.pad(weights, ((0, 0), (0, 0), (0, 0), (0, spec.src.c - weights.shape[3])))
        constants = pair_constants(padded, self.k_group // 2, *self._known_offsets(problem, weights), self.mixed)
        return np.asarray(-(constants << spec.acc_shift))

    def _known_offsets(self, problem: ConvProblem, weights: np.ndarray) -> tuple[int, int]:
        found = self.offsets(weights, problem.act_max)
        assert found is not None, "fits() was not asked"
        return found

    def _whole_vectors(self, problem: ConvProblem) -> bool:
        """The products of neighbours, transformed, take whole vectors."""
        return problem.src.stride % (16 * self.k_group // 2) == 0


@dataclass(frozen=True, kw_only=True)
class _Bytes(_Pairs):
    def offsets(self, weights: np.ndarray, act_max: int) -> tuple[int, int] | None:
        return pair_offsets(weights, act_max)

    def winograd(self, m: int, problem: ConvProblem, facts: Facts) -> Terms | None:
        if not bytes_fit(m, problem.act_max, facts) or not self._whole_vectors(problem):
            return None
        found = self.offsets(facts.transformed(m), 4 * problem.act_max)
        return None if found is None else Terms(2 * problem.act_max, 1, *found)


@dataclass(frozen=True, kw_only=True)
class _Words(_Pairs):
    """Sums of bytes always fit int16."""

    def offsets(self, weights: np.ndarray, act_max: int) -> tuple[int, int] | None:
        return 0, 0

    def depth(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> int | None:
        """Products of sums are as large as (act_max + |w|)^2."""
        most = (act_max + int(np.abs(weights).max(initial=0))) ** 2 * packing.steps * packing.k_group
        return 1 if most <= _INT32 else None


@dataclass(frozen=True, kw_only=True)
class _TransformedWords(_Words):
    """Only in Winograd kernels."""

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        return False

    def winograd(self, m: int, problem: ConvProblem, facts: Facts) -> Terms | None:
        largest = np.abs(facts.transformed(m)).max((2, 3)) + largest_inputs(m, problem.act_max)
        return Terms() if self._whole_vectors(problem) and (largest <= _INT16).all() else None


_VNNI = "avx512f avx512bw avx512vnni"  # CPUs with AVX-VNNI alone have three vector units, two of which multiply: no gain
_MEANING = "multiplies sums of pairs, (a + v)(b + u): two products at a time"
_COST = VectorCost(1.4, 7, winograd=WinogradCost(0.7, 8))

FORMS: tuple[Form, ...] = (
    _Bytes(
        name="u8_vnni_pairs",
        k_group=8,
        element="i8",
        reads=("u8",),
        features=_VNNI,
        techniques=frozenset({"vnni", "pairs"}),
        exact="proven: the sum of any input and weight fits a byte",
        words=Words("vpdpbusd on sums", "bytes", _MEANING, paired=True),
        arithmetic="lowbit.kernels.conv2d.arithmetic.pairs:bytes_vnni",
        mixed=True,
        x86=_COST,
    ),
    _Words(
        name="i16_maddwd_pairs",
        k_group=4,
        element="i16",
        reads=("i16",),
        features="avx2",
        techniques=frozenset({"pairs"}),
        exact="sums of bytes fit int16; int32 totals, as of other 16-bit forms",
        words=Words("vpmaddwd on sums", "int16", _MEANING, paired=True),
        arithmetic="lowbit.kernels.conv2d.arithmetic.pairs:words_maddwd",
        x86=VectorCost(2.0, 3),
    ),
    _TransformedWords(
        name="i16_vnni_pairs",
        k_group=4,
        element="i16",
        reads=("i16",),
        features=_VNNI,
        techniques=frozenset({"vnni", "pairs"}),
        exact="only in Winograd kernels: proven that sums fit int16",
        words=Words("vpdpwssd on sums", "int16", _MEANING, paired=True),
        arithmetic="lowbit.kernels.conv2d.arithmetic.pairs:words_vnni",
        mixed=True,
        x86=_COST,
    ),
)
