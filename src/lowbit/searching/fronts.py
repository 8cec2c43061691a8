"""Plans compared: dominance, the front, hypervolume, and what noise leaves undecided."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["front", "hypervolume", "hypervolume_history", "reference_point"]


def front(points: np.ndarray) -> np.ndarray:
    """Which of ``points`` (n, m), all objectives to be small, no other is at least as good as in every objective and better in
    one; of equal ones the first.  bool (n,)."""
    count = len(points)
    keep = np.ones(count, bool)
    for i in range(count):
        better = (points <= points[i]).all(1) & (points < points[i]).any(1)
        equal = (points == points[i]).all(1)
        keep[i] = not better.any() and not equal[:i].any()
    return keep


def reference_point(points: np.ndarray) -> np.ndarray:
    """The worst of every objective, a tenth of the range farther away."""
    worst, best = points.max(0), points.min(0)
    reach = np.where(worst > best, worst - best, np.maximum(np.abs(worst), 1e-12))
    return worst + 0.1 * reach


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Volume of what ``points`` (n, m), all objectives to be small, dominate up to ``reference`` (m,), exactly.

    By slices along the last objective (Zitzler 1999): between two of its values the others bound a volume of one dimension
    less."""
    inside = points[(points < reference).all(1)]
    if not len(inside):
        return 0.0
    if inside.shape[1] == 1:
        return float(reference[0] - inside.min())
    inside = inside[front(inside)]
    if inside.shape[1] == 2:
        inside = inside[np.argsort(inside[:, 0], kind="stable")]
        ends = np.append(inside[1:, 0], reference[0])
        return float(((ends - inside[:, 0]) * (reference[1] - inside[:, 1])).sum())
    inside = inside[np.argsort(inside[:, -1], kind="stable")]
    ends = np.append(inside[1:, -1], reference[-1])
    depths = ends - inside[:, -1]
    slices = [hypervolume(inside[: i + 1, :-1], reference[:-1]) if depth > 0 else 0.0 for i, depth in enumerate(depths)]
    return float(np.dot(depths, slices))


def hypervolume_history(points: Sequence[np.ndarray | None], reference: np.ndarray) -> list[float]:
    """After each trial; None: one that does not count (infeasible)."""
    held, last, found = np.empty((0, len(reference))), 0.0, []
    for point in points:
        if point is not None and (point < reference).all() and not (held <= point).all(1).any():
            held = np.vstack([held, point])
            held = held[front(held)]
            last = hypervolume(held, reference)
        found.append(last)
    return found
