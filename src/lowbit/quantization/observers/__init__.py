"""THE table of observers: from what was seen of a tensor to the range its integers shall cover."""

from __future__ import annotations

from collections.abc import Callable

from lowbit.numerics import QType
from lowbit.quantization.observers.aciq import aciq
from lowbit.quantization.observers.entropy import entropy
from lowbit.quantization.observers.histogram import Histogram
from lowbit.quantization.observers.minmax import minmax
from lowbit.quantization.observers.moving_average import moving_average
from lowbit.quantization.observers.mse import mse
from lowbit.quantization.observers.percentile import percentile

__all__ = ["OBSERVERS", "Histogram", "observed_range"]

OBSERVERS: dict[str, Callable[[Histogram, QType, float], tuple[float, float]]] = {
    "aciq": aciq,
    "entropy": entropy,
    "minmax": minmax,
    "moving_average": moving_average,
    "mse": mse,
    "percentile": percentile,
}
"""Name -> function of (histogram, type of the integers, percentile) giving (lo, hi), lo <= 0 <= hi."""

_NARROW = 4  # up to here the step is so coarse that clipping a tail pays for itself


def observed_range(seen: Histogram, qtype: QType, observer: str, share: float) -> tuple[float, float]:
    """The range by the observer of that name; "auto": mse for at most 4 bits, else minmax."""
    if observer == "auto":
        observer = "mse" if qtype.bits <= _NARROW else "minmax"
    return OBSERVERS[observer](seen, qtype, share)
