"""Metrics as text: as many digits as their errors leave."""

from __future__ import annotations

import math
from typing import Any

from lowbit.searching.show.shapes import finite

__all__ = ["amount", "figure", "plain"]


def plain(number: Any) -> str:
    """Four significant digits, whole numbers in full: ``0.917``, ``1,234,567``; ``-`` for None, NaN and infinities."""
    known = finite(number)
    if known is None:
        return "-"
    if abs(known) >= 10**15 and not (isinstance(known, int) and known.bit_length() > 1000):
        return f"{float(known):.4g}"
    if isinstance(known, int) or (known.is_integer() and abs(known) >= 1000):
        return amount(int(known))
    return f"{known:.4g}" if abs(known) < 10_000 else f"{known:,.0f}"


def figure(number: Any, error: Any = None, unit: str = "") -> str:
    """``0.917 ± 0.008 ms``: one digit of the error, two where that is a one, and as many decimals of the number."""
    known, spread = finite(number), finite(error)
    if known is None:
        return "-"
    if not spread:
        text = plain(known)
    else:
        text = f"{known:,.{(d := decimals(spread))}f} ± {spread:,.{d}f}"
    return f"{text} {unit}" if unit else text


def decimals(error: float) -> int:
    """How many decimals an error leaves: 0.0081 -> 3, 0.012 -> 3, 3.2 -> 0."""
    exponent = math.floor(math.log10(abs(error)))
    if abs(error) / 10.0**exponent < 1.95:
        exponent -= 1
    return min(12, max(0, -exponent))


def amount(count: int) -> str:
    """Whole numbers in full with commas; beyond 10^15 as ``3.2e+40``, of any length."""
    if abs(count) < 10**15:
        return f"{count:,}"
    logarithm = math.log10(abs(count))
    exponent = math.floor(logarithm)
    mantissa = f"{10 ** (logarithm - exponent):.1f}"
    if mantissa == "10.0":
        mantissa, exponent = "1.0", exponent + 1
    return f"{'-' if count < 0 else ''}{mantissa}e+{exponent}"
