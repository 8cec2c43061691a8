"""Where the weights of a tile lie when several share a byte."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.amx.plan import STEP

__all__ = ["LINE", "field_order"]

LINE = 64  # bytes that are unpacked at a time, to a line for each weight in one of them


def field_order(nr: int, fields: int) -> np.ndarray:
    """``Packing.shuffle`` of a step of ``nr`` channels, ``fields`` weights a byte: byte j of line i has in its field f, from the
    low one on, weight 64 (fields i + f) + j of the step, so that shifts and masks make whole lines."""
    lines = np.arange(STEP * nr).reshape(-1, fields, LINE)
    return np.ascontiguousarray(lines.transpose(0, 2, 1).reshape(-1), np.int32)
