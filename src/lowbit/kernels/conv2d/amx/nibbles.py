"""Where the weights of a tile lie when each takes 4 bits."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.amx.plan import STEP

__all__ = ["LINE", "nibble_order"]

LINE = 64  # bytes that are unpacked at a time, to two lines


def nibble_order(nr: int) -> np.ndarray:
    """``Packing.shuffle`` of a step of ``nr`` channels: byte j of line i has in its low half weight 128 i + j of the step, in its
    high half weight 128 i + 64 + j, so that a mask and a shift make whole lines."""
    lines = np.arange(STEP * nr).reshape(-1, 2, LINE)
    return np.ascontiguousarray(lines.transpose(0, 2, 1).reshape(-1), np.int32)
