"""What the ``s`` of a UnarySpec holds."""

from __future__ import annotations

__all__ = ["PARAMETERS"]

PARAMETERS: dict[str, tuple[tuple[str, float], ...]] = {
    "clamp": (("lo", float("-inf")), ("hi", float("inf"))),
    "elu": (("alpha", 1.0),),
    "leaky_relu": (("alpha", 0.01),),
    "pow": (("exponent", 1.0),),
    "softplus": (("beta", 1.0), ("threshold", 20.0)),
}
"""Function -> (node attribute, its default) of each element of ``s``, in order; functions that are not
listed take no ``s``."""
