"""Logarithms of whole numbers in fixed point: the same integers from every compiler."""

from __future__ import annotations

from functools import cache

import numpy as np

__all__ = ["FRACTION_BITS", "LN2", "MANTISSA", "STEP_BITS", "logarithm", "logarithms"]

FRACTION_BITS = 24
LN2 = round(np.log(2.0) * 2**FRACTION_BITS)
STEP_BITS = 12
"""The table has 2^12 steps between 1 and 2."""
MANTISSA = 23
"""Bits of float32 behind the leading one."""


@cache
def logarithms() -> np.ndarray:
    """int32[2^12 + 1]: rint(2^24 ln(1 + i / 2^12))."""
    table = np.rint(2.0**FRACTION_BITS * np.log1p(np.arange(2**STEP_BITS + 1) / 2**STEP_BITS)).astype(np.int32)
    table.setflags(write=False)
    return table


def logarithm(n: np.ndarray) -> np.ndarray:
    """2^24 ln n, int32, for integers 1 <= n <= 2^30.

    With float32(n) = 2^e (1 + (2^11 i + r) / 2^23), 0 <= r < 2^11, and T = :func:`logarithms`:

        e LN2 + T[i] + ((T[i + 1] - T[i]) r >> 11)

    Off by at most e / 2 + 3 units of 2^-24 (roundings of LN2, of n and of the table), and 2^-27 between two entries."""
    bits = n.astype(np.float32).view(np.int32)
    exponent, fraction = (bits >> MANTISSA) - 127, bits & ((1 << MANTISSA) - 1)
    rest = MANTISSA - STEP_BITS
    index, part = fraction >> rest, fraction & ((1 << rest) - 1)
    table = logarithms()
    return np.asarray(exponent * np.int32(LN2) + table[index] + ((table[index + 1] - table[index]) * part >> rest), np.int32)
