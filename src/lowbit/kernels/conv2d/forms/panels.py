"""The panels of most forms: ``nr`` channels side by side, runs as they lie in memory."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.runs import find_runs
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.packing import Packing

__all__ = ["panels", "run_steps"]


def panels(spec: ConvSpec, element: str, rows: int, groups: int, weights: np.ndarray) -> Packing:
    """Panels of ``spec.nr`` channels, ``rows`` rows a step; for a grouped layer, with the windows of its blocks."""
    n, per_group = weights.shape[0], weights.shape[3]
    starts, window = _windows(n, groups, per_group, spec.nr) if groups > 1 else (None, 0)
    runs = find_runs(spec, spec.k_group, window)
    return Packing(
        "panels", element, n, runs.count, per_group if window else runs.length, runs.padded, spec.nr, spec.k_group // rows,
        spec.parts, groups, window, starts, channels=per_group,
    )  # fmt: skip


def run_steps(packing: Packing) -> int:
    """Steps of one run."""
    return packing.run_pad // packing.k_group


def _windows(n: int, groups: int, per_group: int, nr: int) -> tuple[np.ndarray, int]:
    """First input channel each block of ``nr`` outputs reads, and how many any block needs."""
    outputs = n // groups
    first = np.arange(0, n, nr) // outputs * per_group
    last = (np.minimum(np.arange(nr, n + nr, nr), n) - 1) // outputs * per_group + per_group
    window = int((last - first).max())
    # windows end within the pixel
    return np.minimum(first, groups * per_group - window).astype(np.int32), window
