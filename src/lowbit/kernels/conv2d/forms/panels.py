"""The panels of most forms: ``nr`` channels side by side, runs as they lie in memory."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.runs import find_runs
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.packing import Packing

__all__ = ["aligned_windows", "panels", "run_steps"]


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


def aligned_windows(n: int, groups: int, per_group: int, nr: int, to: int) -> tuple[np.ndarray, int]:
    """As of :func:`panels`, from multiples of ``to`` on and of such a length; windows end within the pixel, whose channels are
    padded to a multiple of ``to``."""
    first, last = _bounds(n, groups, per_group, nr)
    first = first // to * to
    window = -(-int((last - first).max()) // to) * to
    return np.minimum(first, max(0, -(-groups * per_group // to) * to - window)).astype(np.int32), window


def _windows(n: int, groups: int, per_group: int, nr: int) -> tuple[np.ndarray, int]:
    """First input channel each block of ``nr`` outputs reads, and how many any block needs."""
    first, last = _bounds(n, groups, per_group, nr)
    window = int((last - first).max())
    # windows end within the pixel
    return np.minimum(first, groups * per_group - window).astype(np.int32), window


def _bounds(n: int, groups: int, per_group: int, nr: int) -> tuple[np.ndarray, np.ndarray]:
    """First input channel that each block of ``nr`` outputs needs, and the one behind the last."""
    outputs = n // groups
    first = np.arange(0, n, nr) // outputs * per_group
    last = (np.minimum(np.arange(nr, n + nr, nr), n) - 1) // outputs * per_group + per_group
    return first, last
