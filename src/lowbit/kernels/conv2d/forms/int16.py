"""Forms that multiply 16-bit numbers and add in 32 bits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lowbit.kernels.conv2d.forms.form import Form
from lowbit.kernels.conv2d.forms.transformed import Facts, Terms
from lowbit.kernels.conv2d.pack import split_parts, weight_blocks
from lowbit.kernels.conv2d.selection.exactness import int32_depth
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.packing import Packing
from lowbit.kernels.spec import ConvSpec

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

    def prove(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> ConvSpec | None:
        blocks = weight_blocks(weights.reshape(packing.n, -1), packing)
        run_steps = packing.run_pad // packing.k_group
        if spec.parts == 1:
            depth = int32_depth(blocks, act_max, run_steps)
            # widening more often than that costs more than two parts, each summed in long blocks
            short = depth is not None and 0 < depth < min(_SHORT, run_steps)
            if short or (depth and not spec.wide):
                return None
        else:
            depths = [int32_depth(part, act_max, run_steps) for part in split_parts(blocks)]
            depth = None if None in depths else min(depths, key=lambda d: d or 1 << 30)
        return None if depth is None else replace(spec, depth=depth)

    def winograd(self, m: int, problem: ConvProblem, facts: Facts) -> Terms | None:
        return Terms()  # transformed int8 and bytes fit int16, sums may wrap
