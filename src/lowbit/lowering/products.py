"""Matrix products of two activations: the right factor packed, then the product."""

from __future__ import annotations

import numpy as np

from lowbit.graph import Node
from lowbit.graph.bounds import largest_product_sum
from lowbit.kernels.layout import Layout, canonical_shape
from lowbit.kernels.matmul.forms import choose_form, tile_of
from lowbit.kernels.matmul.spec import MatmulPackSpec, MatmulSpec
from lowbit.lowering.context import Lowering
from lowbit.lowering.program import NULL, Ref
from lowbit.numerics import multiplier

__all__ = ["lower_matmul"]

_PANEL_TYPES = {"int8": "u8", "int16": "i16", "float32": "f32", "float64": "f64"}


def _factor(ctx: Lowering, name: str) -> tuple[str | Ref, Layout]:
    """An activation, or a constant as one lies in memory."""
    if name not in ctx.graph.constants:
        return name, ctx.layouts[name]
    stored, values = ctx.stored(name), ctx.graph.constants[name]
    n, h, w, c = canonical_shape(tuple(values.shape))
    layout = Layout(n, h, w, c, -(-c // 16) * 16, stored.dtype)
    data = np.zeros((n, h, w, layout.stride), stored.of(values).dtype)
    data[..., :c] = stored.of(values).reshape(n, h, w, c)
    return ctx.constants.add(data), layout


def lower_matmul(ctx: Lowering, node: Node) -> None:
    """Integers: sums in int32 where they fit, of bytes by the target's dot products; else float64, which is exact as well."""
    (left, right), transposed = node.inputs, node.attrs["transposed"]
    rows, depth = ctx.type(left).shape[1:]
    columns = ctx.type(node.name).shape[2]
    a, b, stored = ctx.stored(left), ctx.stored(right), ctx.stored(node.name)
    integers = stored.quant is not None
    largest = largest_product_sum(ctx.graph, node) if integers else None
    form = choose_form(ctx.target, depth, largest, a.dtype == b.dtype == "u8")
    mr, nr = tile_of(form, ctx.target, rows, columns)
    (x, src), (w, given), dst = _factor(ctx, left), _factor(ctx, right), ctx.layouts[node.name]
    width, blocks, steps = nr * form.group, -(-columns // nr), -(-depth // form.group)
    panels = ctx.temporary(f"{node.name}.panels", Layout(given.n, blocks, steps, width, width, _PANEL_TYPES[form.right]))
    pack = MatmulPackSpec(
        src=given, dst=ctx.layouts[panels], form=form.name, depth=depth, columns=columns, nr=nr, transposed=transposed
    )
    ctx.emit(node, pack, x=w, o=panels, s=ctx.constants.floats(*b.operand) if integers else NULL)
    factor = multiplier(np.float64(a.scale) * np.float64(b.scale) * np.float64(node.attrs["factor"]), stored.scale)
    bounds = (*a.operand, *b.operand, stored.result(node.attrs["qlo"], node.attrs["qhi"])) if integers else ()
    spec = MatmulSpec(
        src=src,
        panels=ctx.layouts[panels],
        dst=dst,
        form=form.name,
        depth=depth,
        mr=mr,
        nr=nr,
        shifted=form.bytes and a.operand[1] + a.operand[0] * form.centre != 0,
        sign=stored.sign,
    )
    macs = dst.n * rows * columns * depth
    s = ctx.constants.floats(factor, *bounds)
    ctx.emit(node, spec, x=x, w=panels, o=node.name, s=s, macs=macs, fill=stored.zero)
