"""Weighted sums of neighbouring rows and columns."""

from __future__ import annotations

import numpy as np

from lowbit.graph import Node
from lowbit.graph.bounds import accumulator_of
from lowbit.graph.fixed_point import fraction_bits, starts_of, weights_of, whole_weights
from lowbit.kernels.resize.spec import ResizeSpec
from lowbit.lowering.context import Lowering
from lowbit.lowering.program import NULL
from lowbit.numerics import multiplier

__all__ = ["lower_resize"]


def lower_resize(ctx: Lowering, node: Node) -> None:
    """The sum of weight * (q - zero_point) from one over what is stored: weights of a result are 2^2B together."""
    (source,), stored = node.inputs, ctx.stored(node.name)
    given, taps = ctx.stored(source), [node.attrs[axis] for axis in ("rows", "columns")]
    t = ctx.tables.add(np.concatenate([starts_of(axis) for axis in taps]).astype(np.int32))
    wide, s = False, NULL
    if given.quant is None:
        weights = np.concatenate([weights_of(axis).reshape(-1) for axis in taps]).astype(np.float32)
    else:
        assert stored.quant is not None
        bits, qtype = fraction_bits(given.quant.qtype), stored.quant.qtype
        whole = [whole_weights(axis, bits) for axis in taps]
        weights = np.concatenate([axis.reshape(-1) for axis in whole]).astype(np.int32)
        wide = accumulator_of(given.quant) == "float64"
        step, shift = given.operand
        bounds = stored.result(node.attrs.get("qlo", qtype.qmin), node.attrs.get("qhi", qtype.qmax))
        factor = multiplier(np.float64(given.scale), np.float64(stored.scale) * 2.0 ** (2 * bits))
        s = ctx.constants.floats(step, shift * 2.0 ** (2 * bits), bounds, factor)
    spec = ResizeSpec(
        src=ctx.layouts[source],
        dst=ctx.layouts[node.name],
        taps=(len(taps[0][0][1]), len(taps[1][0][1])),
        sign=stored.sign,
        wide=wide,
    )
    ctx.emit(node, spec, x=source, o=node.name, w=ctx.constants.add(weights), s=s, t=t, fill=stored.zero)
