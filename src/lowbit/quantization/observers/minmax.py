"""The whole range seen."""

from __future__ import annotations

from lowbit.numerics import QType
from lowbit.quantization.observers.histogram import Histogram

__all__ = ["minmax"]


def minmax(seen: Histogram, qtype: QType, share: float) -> tuple[float, float]:
    """(min, max) of everything seen, 0 included: nothing clips."""
    return min(seen.minimum, 0.0), max(seen.maximum, 0.0)
