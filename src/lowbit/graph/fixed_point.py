"""Weights of a resize as whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowbit.numerics import QType

__all__ = ["fraction_bits", "starts_of", "weights_of", "whole_weights"]

Taps = Sequence[tuple[int, Sequence[float]]]


def fraction_bits(qtype: QType) -> int:
    """Fraction of a weight: 11 bits for values of up to 8, so that 8 + 2 * 11 bits fit int32; else 15, so that one axis does."""
    return 11 if qtype.bits <= 8 else 15


def starts_of(taps: Taps) -> np.ndarray:
    return np.array([start for start, _ in taps], np.int64)


def weights_of(taps: Taps) -> np.ndarray:
    return np.array([weights for _, weights in taps], np.float64)


def whole_weights(taps: Taps, bits: int) -> np.ndarray:
    """int64[results, taps]: rint(2^bits w); the largest of each result takes up what the sum then lacks of rint(2^bits sum w),
    so that a constant stays one."""
    exact = np.ldexp(weights_of(taps), bits)
    whole = np.rint(exact).astype(np.int64)
    lacking = np.rint(exact.sum(1)).astype(np.int64) - whole.sum(1)
    whole[np.arange(len(whole)), np.abs(exact).argmax(1)] += lacking
    return whole
