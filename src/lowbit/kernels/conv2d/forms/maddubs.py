"""AVX2 without VNNI: vpmaddubsw adds two products of bytes in 16 bits, vpmaddwd two of int16 in 32 (SSE2 has it, too)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.forms.int16 import Int16Form
from lowbit.kernels.conv2d.forms.panels import run_steps
from lowbit.kernels.conv2d.forms.transformed import Facts, Terms, bytes_fit
from lowbit.kernels.conv2d.pack import weight_blocks
from lowbit.kernels.conv2d.selection.cost import WinogradCost, Workload
from lowbit.kernels.conv2d.selection.exactness import maddubs_depth, split_steps
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.conv2d.selection.tiles import VectorCost
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.packing import Packing

__all__ = ["FORMS"]

_SHORT_BLOCKS = (2, 3, 4)  # depths at which int16 and int32 accumulators are both in registers


class _Cost(VectorCost):
    """``cycles`` with a vpmaddwd for every vpmaddubsw, which longer blocks do without."""

    def held(self, depth: int) -> int:
        return 2 if depth in _SHORT_BLOCKS else self.kept

    def work(self, depth: int) -> float:
        return self.cycles if depth == 1 else 1.0 + 1.0 / (depth or 64)

    def winograd_work(self, depth: int) -> float:
        return self.work(depth)


class _SplitCost(VectorCost):
    """A step is doubled when one of its channels needs it: fewer channels, fewer doubled steps."""

    def panels(self, load: Workload, lanes: int) -> tuple[int, ...]:
        return (lanes,) if load.dst.c % 16 == 0 else super().panels(load, lanes)


@dataclass(frozen=True, kw_only=True)
class _Maddubs(Form):
    """Sums of ``depth`` steps stay in int16 lanes (exactness.maddubs_depth)."""

    def depth(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> int | None:
        return maddubs_depth(weight_blocks(weights, packing), act_max, run_steps(packing))

    def winograd(self, m: int, problem: ConvProblem, facts: Facts) -> Terms | None:
        if not bytes_fit(m, problem.act_max, facts):
            return None
        depth = _transformed_depth(facts.transformed(m), 4 * problem.act_max)
        return None if depth is None else Terms(offset=2 * problem.act_max, depth=depth)


def _transformed_depth(u: np.ndarray, largest: int) -> int | None:
    """``maddubs_depth`` of U (p, p, N, C) with unsigned inputs up to ``largest``."""
    n, c = u.shape[2:]
    packing = Packing("panels", "i8", n, 1, c, -(-c // 4) * 4, 16, 4, channels=c)
    depths = [maddubs_depth(weight_blocks(part, packing), largest) for part in u.reshape(-1, n, c)]
    return None if None in depths else min((d for d in depths if d is not None), key=lambda d: d or 1 << 30)


@dataclass(frozen=True, kw_only=True)
class _Split(Form):
    """A step one of whose lanes could leave int16 is done twice, with w // 2 and w - w // 2: a list of steps in ``t``."""

    grouped: bool = False

    def choice(self, spec: ConvSpec, packing: Packing, problem: ConvProblem, weights: np.ndarray) -> Choice:
        split = split_steps(weight_blocks(weights, packing), problem.act_max)
        run, k = np.divmod(np.arange(packing.steps), run_steps(packing))
        ky, kx = np.divmod(run, packing.runs // spec.kernel[0])
        pixel = spec.src.stride
        at = ky * spec.dilation[0] * spec.src.wp * pixel + kx * spec.dilation[1] * pixel + k * packing.k_group
        packing = replace(packing, split=split, offsets=at.astype(np.int32))
        offset = self.bias_offset(spec, packing, problem, weights)
        return Choice(spec, packing, packing.table, None, offset, float(split.mean()))


_BYTES = Words("vpmaddubsw", "bytes", "multiplies two pairs of bytes a lane and adds them in 16 bits")
_TWICE = Words("vpmaddubsw", "bytes", "multiplies two pairs of bytes a lane; steps that leave 16 bits are done twice")

FORMS: tuple[Form, ...] = (
    _Maddubs(
        name="u8_maddubs",
        k_group=4,
        element="i8",
        reads=("u8",),
        features="avx2",
        exact="proven: the sums of depth steps stay in int16 (maddubs_depth)",
        words=_BYTES,
        arithmetic="lowbit.kernels.conv2d.arithmetic.maddubs:of_bytes",
        x86=_Cost(2.0, 2, winograd=WinogradCost(2.0, 2)),
        sum_bits=16,
    ),
    _Split(
        name="u8_split",
        k_group=4,
        element="i8",
        reads=("u8",),
        features="avx2",
        exact="a step that could leave int16 is two: w // 2 and w - w // 2",
        words=_TWICE,
        arithmetic="lowbit.kernels.conv2d.arithmetic.maddubs:of_bytes",
        builder="lowbit.kernels.conv2d.arithmetic.maddubs:build_listed",
        x86=_SplitCost(2.0, 2),
        settles=False,
        sum_bits=16,
        repeats="u8_maddubs",
    ),
    Int16Form(
        name="i16_maddwd",
        k_group=2,
        features="sse2",
        words=Words("vpmaddwd", "int16", "multiplies two pairs of int16 a lane and adds them in 32 bits"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.maddubs:of_words",
        x86=VectorCost(1.5, 2, winograd=WinogradCost(1.05, 2)),
        depthwise=True,
    ),
)
