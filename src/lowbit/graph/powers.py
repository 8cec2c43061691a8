"""Powers that every machine computes alike: products and square roots alone, which IEEE 754 rounds correctly."""

from __future__ import annotations

import numpy as np

__all__ = ["STEPS", "factors_of_power", "power_of"]

STEPS = 1 << 24
"""Exponents are multiples of 1 / STEPS."""


def factors_of_power(power: int) -> tuple[int, list[bool]]:
    """(whole powers, which of base^(1/2), base^(1/4), ... are factors) of base^(power / STEPS)."""
    whole, rest = divmod(power, STEPS)
    halves = [bool(rest >> bit & 1) for bit in range(23, -1, -1)]
    while halves and not halves[-1]:
        halves.pop()
    return whole, halves


def power_of(base: np.ndarray, power: int) -> np.ndarray:
    """base^(power / STEPS) of positive float64: 1, times the whole powers, times the roots, each step rounded once."""
    whole, halves = factors_of_power(power)
    result, root = np.ones_like(base), base
    for _ in range(whole):
        result = result * base
    for taken in halves:
        root = np.sqrt(root)
        if taken:
            result = result * root
    return result
