"""ArgmaxSpec in numpy."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.argmax.spec import ArgmaxSpec

__all__ = ["argmax"]


def argmax(spec: ArgmaxSpec, x: np.ndarray) -> np.ndarray:
    """x: stored values (n, h, w, c); int32 (n, h, w, 1)."""
    find = np.argmin if spec.least else np.argmax
    return np.asarray(find(x, 3)[..., None], np.int32)
