"""What is not chosen must not be NaN or Inf where it is multiplied by 0."""

from __future__ import annotations

from collections.abc import Callable

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call

__all__ = ["guarded"]

_PARTIAL = frozenset({"exp", "log", "log1p", "pow", "reciprocal", "rsqrt", "sqrt"})
"""Functions that are not finite everywhere; all are at 1."""

_ELEMENTWISE = frozenset({"add", "clamp", "maximum", "minimum", "mul", "sub", "unary"})
_DEEPEST = 16


def guarded(b: Builder, call: Call, value: str, at_one: Callable[[str], str | None], depth: int = _DEEPEST) -> str:
    """``value`` with the operands of partial functions exchanged for 1 where it is not chosen.

    ``at_one``: x -> x where it is chosen, else 1; None where that would need another shape.  Only elementwise operations are
    followed, from ``value`` back; where no partial function is among them, ``value`` is returned as it is."""
    node = b.producer(value)
    if node is None or node.op not in _ELEMENTWISE or not depth:
        return value
    first = node.inputs[0]
    if node.op == "unary" and node.attrs["fn"] in _PARTIAL and first not in b.constants and (safe := at_one(first)) is not None:
        inputs = [safe, *node.inputs[1:]]
    else:
        inputs = [name if name in b.constants else guarded(b, call, name, at_one, depth - 1) for name in node.inputs]
        if inputs == list(node.inputs):
            return value
    return b.again(call, node, inputs)
