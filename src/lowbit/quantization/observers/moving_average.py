"""The range that rows have on average."""

from __future__ import annotations

from lowbit.numerics import QType
from lowbit.quantization.observers.histogram import Histogram

__all__ = ["moving_average"]


def moving_average(seen: Histogram, qtype: QType, share: float) -> tuple[float, float]:
    """(min, max) of a row, averaged over the rows with weights that fall by 1 % a row (Jacob et al. 2018, section 3.1), 0
    included."""
    if seen.average_minimum > seen.average_maximum:  # a histogram that was not observed row by row
        return min(seen.minimum, 0.0), max(seen.maximum, 0.0)
    return min(seen.average_minimum, 0.0), max(seen.average_maximum, 0.0)
