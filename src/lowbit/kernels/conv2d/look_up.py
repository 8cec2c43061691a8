"""The tables of the look-up forms: all sums of ``fields`` products of two-bit numbers."""

from __future__ import annotations

import numpy as np

__all__ = ["ACT_MAX", "WEIGHT_RANGE", "product_table"]

ACT_MAX = 3
WEIGHT_RANGE = (-2, 1)


def product_table(fields: int) -> np.ndarray:
    """int32 view of bytes table[x][w] = sum_j x_j * w_j modulo 256, x_j = (x >> 2j) & 3 unsigned and w_j
    the two's complement of (w >> 2j) & 3: 4^fields tables of 4^fields entries."""
    index = np.arange(4**fields)[:, None] >> 2 * np.arange(fields) & 3
    weights = np.where(index > 1, index - 4, index)
    return (index @ weights.T).astype(np.int8).reshape(-1).view(np.int32)
