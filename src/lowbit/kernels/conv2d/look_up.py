"""The tables of the look-up forms: all sums of ``fields`` products of numbers of one or two bits."""

from __future__ import annotations

import numpy as np

__all__ = ["fits_index", "index_values", "product_table"]


def index_values(bits: int) -> tuple[int, ...]:
    """The weights that a field of an index can be, in the order of its codes: -1 and 1, or two's complement."""
    return {1: (-1, 1), 2: (0, 1, -2, -1)}[bits]


def fits_index(weights: np.ndarray, bits: int) -> bool:
    """Whether all ``weights`` are ``index_values``."""
    if bits == 1:
        return bool((np.abs(weights) == 1).all())
    return bool(weights.min(initial=0) >= -2 and weights.max(initial=0) <= 1)


def product_table(fields: int, bits: int) -> np.ndarray:
    """int32 view of bytes table[x][w] = sum_j x_j * w_j modulo 256, x_j the unsigned field of ``bits`` bits at bit
    ``bits`` * j of x, and w_j the ``index_values`` of that of w: 2^(bits * fields) tables of as many entries."""
    codes = np.arange(2 ** (bits * fields))[:, None] >> bits * np.arange(fields) & 2**bits - 1
    weights = np.array(index_values(bits))[codes]
    return (codes @ weights.T).astype(np.int8).reshape(-1).view(np.int32)
