"""Padding that never wins moves into the pool behind it."""

from __future__ import annotations

import numpy as np

from lowbit.errors import NumericsError
from lowbit.graph import Graph, Node
from lowbit.passes.edit import Edit
from lowbit.passes.pads import padding_of
from lowbit.passes.remove_dead import remove_dead

__all__ = ["pad_into_pool"]

_LOSES = {"max_pool2d": ("lo", -1), "min_pool2d": ("hi", 1)}  # a clamp's bound, sign of what never wins
_LARGEST = float(np.finfo(np.float32).max)


def pad_into_pool(graph: Graph) -> Graph:
    """max_pool2d(pad(x, v)) = max_pool2d(x) over the parts of its windows that lie in x, where no value of x is below v:
    v is -inf (so do pools pad that others call "same") or float32's least number, or x is clamped at v or above it (0 behind
    a ReLU).  min_pool2d the other way round.

    Only rows and columns may be padded, and every window must meet x.  Raises NumericsError for other padding with
    an infinite number: it has no integer.
    """
    edit = Edit(graph)
    for node in graph.nodes:
        edit.add(node)
        if node.op not in _LOSES:
            continue
        for _ in edit.steps("pad_into_pool"):
            pool = edit.nodes[node.name]
            pad = padding_of(edit, pool)
            if pad is None or not _never_wins(edit, pad, *_LOSES[pool.op]):
                break
            before, sizes = pad.attrs["before"][2:], edit.shape(pad.inputs[0])[2:]
            rows, columns = (
                tuple((max(0, a - lead), min(size, b - lead)) for a, b in pool.attrs[axis])
                for axis, lead, size in zip(("windows", "columns"), before, sizes, strict=True)
            )
            if any(a >= b for a, b in (*rows, *columns)):
                break
            attrs = {**pool.attrs, "windows": rows, "columns": columns}
            edit.nodes[node.name] = Node(pool.name, pool.op, pad.inputs, attrs, pool.source)
    done = remove_dead(edit.done())
    for node in done.nodes:
        if node.op == "pad" and not np.isfinite(node.attrs["value"]):
            where = f" [{node.source}]" if node.source else ""
            raise NumericsError(
                f"{node.name}{where} pads with {node.attrs['value']}, which is not a finite float32 number; "
                "only a max pool right behind it, over rows and columns, may read -inf"
            )
    return done


def _never_wins(edit: Edit, pad: Node, side: str, sign: int) -> bool:
    """Whether no value of what is padded is beyond the padding's, on this side."""
    source = edit.nodes.get(pad.inputs[0])
    bound = source.attrs.get(side) if source is not None and source.op == "clamp" else None
    return bool(sign * pad.attrs["value"] >= (_LARGEST if bound is None else sign * bound))
