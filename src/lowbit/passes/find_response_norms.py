"""A local response norm that is written out, as torch's is, becomes one operation."""

from __future__ import annotations

import numpy as np

from lowbit.graph import Graph, Node
from lowbit.passes.edit import Edit
from lowbit.passes.reductions import Look

__all__ = ["find_response_norms"]


def find_response_norms(graph: Graph) -> Graph:
    """x * 1 / (k + alpha * mean of x^2 over a window of channels)^beta; the window is a pool of the padded squares.  x is NC...,
    of three or four axes."""
    look, edit = Look(graph), Edit(graph)
    for node in graph.nodes:
        attrs = _found(look, node)
        edit.add(node if attrs is None else Node(node.name, "response_norm", node.inputs[:1], attrs, node.source))
    return edit.done()


def _found(look: Look, node: Node) -> dict[str, float | int] | None:
    if node.op != "mul" or len(look.shape(node.name)) != 4:
        return None
    x, factor = node.inputs
    inverse = look.node(factor, "unary")
    if inverse is None or inverse.attrs["fn"] != "reciprocal" or look.shape(x) != look.shape(node.name):
        return None
    beta, name = 1.0, inverse.inputs[0]
    power = look.node(name, "unary")
    if power is not None:
        beta = float(power.attrs["exponent"]) if power.attrs["fn"] == "pow" else 0.5 if power.attrs["fn"] == "sqrt" else 0.0
        name = power.inputs[0]
    shifted = look.node(name, "add")
    scaled = None if shifted is None else look.node(shifted.inputs[0], "mul")
    if shifted is None or scaled is None or not 0 < beta < 8:
        return None
    k, alpha = look.number(shifted.inputs[1]), look.number(scaled.inputs[1])
    pool = look.node(look.behind(scaled.inputs[0], "reshape"), "avg_pool2d")
    if k is None or alpha is None or k <= 0 or alpha < 0 or pool is None:
        return None
    size = _window(look, pool, x)
    return None if size is None else {"size": size, "alpha": alpha, "beta": beta, "k": k}


def _window(look: Look, pool: Node, x: str) -> int | None:
    """Channels of a window, if ``pool`` takes the mean of the squares of ``x`` over them, padded with zeros."""
    n, channels, *rest = look.shape(x)
    size = pool.attrs["windows"][0][1]
    pad = look.node(look.behind(pool.inputs[0], "reshape"), "pad")
    square = None if pad is None else look.node(look.behind(pad.inputs[0], "reshape"), "mul")
    regular = tuple((c, c + size) for c in range(channels)) == tuple(pool.attrs["windows"])
    columns = tuple((i, i + 1) for i in range(look.shape(pool.name)[3])) == tuple(pool.attrs["columns"])
    if pad is None or square is None or square.inputs != (x, x) or not regular or not columns:
        return None
    shape, padded = look.shape(pad.inputs[0]), look.shape(pool.inputs[0])
    before, after = np.zeros(len(shape), int), np.zeros(len(shape), int)
    before[2], after[2] = size // 2, (size - 1) // 2
    fits = (
        shape[:3] == (n, 1, channels) and padded[:3] == (n, 1, channels + size - 1) and set(pool.attrs["divisors"]) == {size}
        and tuple(pad.attrs["before"]) == tuple(before) and tuple(pad.attrs["after"]) == tuple(after) and not pad.attrs["value"]
    )  # fmt: skip
    return int(size) if fits and np.prod(shape[3:]) == np.prod(rest) else None
