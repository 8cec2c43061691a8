"""Arithmetic of clamp bounds, where None is unbounded."""

from __future__ import annotations

import math

from lowbit.graph import Node
from lowbit.graph.ops import BINARY, LAYERS

__all__ = ["CLAMPED", "bounds", "compose", "unclamped"]

CLAMPED = (*LAYERS, *BINARY, "affine", "normalize")
"""Operations that carry a fused clamp: attrs lo and hi, always present in canonical graphs."""

Bounds = tuple[float | None, float | None]


def bounds(node: Node) -> Bounds:
    return node.attrs.get("lo"), node.attrs.get("hi")


def unclamped(node: Node) -> bool:
    return bounds(node) == (None, None)


def compose(inner: Bounds, outer: Bounds) -> Bounds:
    """clamp(clamp(x, a, b), c, d) = clamp(x, clamp(a, c, d), clamp(b, c, d)), also for a > b or c > d.

    With a > b torch gives b everywhere, so a is first cut to b.
    """
    (a, b), (c, d) = (_infinite(*pair) for pair in (inner, outer))
    low, high = (min(max(bound, c), d) for bound in (min(a, b), b))
    return (None if low == -math.inf else low, None if high == math.inf else high)


def _infinite(low: float | None, high: float | None) -> tuple[float, float]:
    return (-math.inf if low is None else low, math.inf if high is None else high)
