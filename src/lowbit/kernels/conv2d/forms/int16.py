"""Forms that multiply 16-bit numbers and add in 32 bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.kernels.conv2d.forms.form import Form
from lowbit.kernels.conv2d.forms.panels import run_steps
from lowbit.kernels.conv2d.forms.transformed import Facts, Terms
from lowbit.kernels.conv2d.pack import split_parts, weight_blocks
from lowbit.kernels.conv2d.selection.exactness import int32_depth
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.packing import Packing

__all__ = ["INT16_EXACT", "Int16Form"]

INT16_EXACT = "proven: blocks of depth steps stay in int32 (int32_depth)"
_SHORT = 8


@dataclass(frozen=True, kw_only=True)
class Int16Form(Form):
    """Products of int16 in int32 sums.  Wide operands move these to float64 every ``depth`` steps, and large weights are
    multiplied in two parts, 256 * high + low."""

    element: str = "i16"
    reads: tuple[str, ...] = ("i16", "u8")
    exact: str = INT16_EXACT

    def depth(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> int | None:
        blocks, steps = weight_blocks(weights, packing), run_steps(packing)
        if spec.parts == 1:
            depth = int32_depth(blocks, act_max, steps)
            # widening more often than that costs more than two parts, each summed in long blocks
            short = depth is not None and 0 < depth < min(_SHORT, steps)
            return None if short or (depth and not spec.wide) else depth
        depths = [int32_depth(part, act_max, steps) for part in split_parts(blocks)]
        return None if None in depths else min(depths, key=lambda d: d or 1 << 30)

    def winograd(self, m: int, problem: ConvProblem, facts: Facts) -> Terms | None:
        return Terms()  # transformed int8 and bytes fit int16, sums may wrap
