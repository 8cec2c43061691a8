"""float32 as the sum of two bfloat16, and how far sums of products of such numbers are from the true ones.

bfloat16 has float32's exponent and 8 bits of significand.  a = h + l + e with

    h = bf16(a),  l = bf16(a - h),  |a - h| <= 2^-8 |a|,  |l| <= 2^-8 |a|,  |e| <= 2^-17 |a|

where bf16 rounds to nearest, ties to even, and a - h is exact in float32.  For 2^E <= |a| < 2^(E+1) half a unit of h is
2^(E-8), so a - h is at most that; it is in the binade below, or that power of two itself, and half a unit of l is 2^(E-17).
"""

from __future__ import annotations

import numpy as np

__all__ = ["BF16X3_SPLIT", "SMALLEST", "UNIT", "bf16x3_relative", "bf16x3_underflow", "from_bfloat16", "split", "splits"]

UNIT = 2.0**-24
"""float32's unit roundoff."""

SMALLEST = 2.0**-126
"""The smallest normal number of float32 and of bfloat16: what AMX takes for zero, and makes zero, is smaller."""

_FIRST_INFINITE = 2.0**128 - 2.0**119  # |a| from here on rounds to an infinite h

BF16X3_SPLIT = 2.0**-15 + 2.0**-34
"""A bound of |a b - (h_a h_b + h_a l_b + l_a h_b)| / |a b|: what is left out is l_a l_b, at most 2^-16 |a b|, and
e_a b + a e_b - e_a e_b, at most (2^-16 + 2^-34) |a b|."""


def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(h, l) of float32, both as the uint16 that are their bits.  Infinite and NaN values, and finite ones that round to an
    infinite h, have a NaN, or an infinity of the other sign, for l: sums that they enter become NaN."""
    values = np.ascontiguousarray(values, np.float32)
    high = _rounded(values)
    with np.errstate(invalid="ignore"):
        rest = values - from_bfloat16(high)
    return high, _rounded(rest)


def splits(values: np.ndarray) -> bool:
    """Whether all of them have a finite h."""
    return bool((np.abs(values) < _FIRST_INFINITE).all())


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """float32 of the same value."""
    return (np.asarray(bits, np.uint16).astype(np.uint32) << 16).view(np.float32)


def _rounded(values: np.ndarray) -> np.ndarray:
    """To nearest, ties to even; NaN to one NaN."""
    bits = values.view(np.uint32).astype(np.uint64)
    near = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, near).astype(np.uint16)


def bf16x3_relative(steps: int) -> float:
    """R with |error| <= R (sum |a b| + |bias| + |residual|) + :func:`bf16x3_underflow` of a result in ``steps`` steps of 32 K
    values, as long as nothing overflows.

    R = 2^-15 + 2^-34 + gamma(3 steps + 18) (1 + 2^-6 + 2^-14),  gamma(n) = n u / (1 - n u),  u = 2^-24

    A step is three instructions, one a product.  An instruction adds its even and its odd products up, 16 each (the first to 0,
    which is exact, 15 roundings), adds the two (1) and the sum so far (1 an instruction, 3 a step), all in float32: a term meets
    at most 3 steps + 16 roundings, and two more with bias and residual (Higham, "Accuracy and Stability", 3.1).  Products of
    bfloat16 are exact in float32; their magnitudes add up to at most
    ((1 + 2^-8)^2 + 2 (1 + 2^-8) 2^-8) |a b| <= (1 + 2^-6 + 2^-14) |a b|.
    The order is that of Intel's manual (TDPBF16PS, Operation)."""
    roundings = (3 * steps + 18) * UNIT
    return BF16X3_SPLIT + roundings / (1 - roundings) * (1 + 2.0**-6 + 2.0**-14)


def bf16x3_underflow(steps: int, magnitudes: float | np.ndarray) -> float | np.ndarray:
    """What results may be off because AMX takes denormal numbers for zero and makes zeros of denormal results.
    ``magnitudes``: sum of |a| + |b| over the products.

    Each h or l that is taken for zero is off by less than 2^-126, each addition of a step (3 * 32 fused ones, 3 * 2 others) by
    at most as much; the factors hold what later roundings and the sizes of h and l make of that."""
    return SMALLEST * (1.02 * magnitudes + 104.0 * steps)
