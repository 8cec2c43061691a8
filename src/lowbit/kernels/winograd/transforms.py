"""The one-dimensional transforms of F(2, 3) and F(4, 3) with integer matrices (Cook-Toom, points 0, 1, -1[, 2, -2], inf).

F(m, 3) gives m outputs of a 3-tap filter from p = m + 2 inputs: y = A^T ((G g) * (B^T d)) / scale.  G is scaled to
integers and A^T takes back what its rows share, so that scale is 2 for m = 2 and 24 for m = 4.

    m = 2   B^T = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]      G = [1 0 0; 1 1 1; 1 -1 1; 0 0 1]
            A^T = [2 1 1 0; 0 1 -1 -2]
    m = 4   B^T = [4 0 -5 0 1 0; 0 -4 -4 1 1 0; 0 4 -4 -1 1 0; 0 -2 -1 2 1 0; 0 2 -1 -2 1 0; 0 4 0 -5 0 1]
            G = [6 0 0; -4 -4 -4; -4 4 -4; 1 2 4; 1 -2 4; 0 0 6]
            A^T = [1 1 1 1 1 0; 0 1 -1 2 -2 0; 0 1 1 4 4 0; 0 1 -1 8 -8 4]

Sizes, in two dimensions: inputs 0 .. a give |V| <= 4a (m = 2), <= 68a (m = 4, 17340 for a = 255); weights
|w| <= w give |U| <= 9w and <= 144w (18432 for w = 128).  Both fit int16.

**Exact modulo 2^32.**  M = A^T M A is scale^2 * acc = 4 acc or 576 acc.  Sums, differences and products by constants
are exact modulo 2^32.  Multiplying by the inverse of 9 leaves 64 acc modulo 2^32, which is 64 acc itself when
|acc| < 2^25; an arithmetic shift by 6 (2 for m = 2, |acc| < 2^29) gives acc.

The functions take vectors as TIR expressions or numbers; ``Ring`` says how to add them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["MATRICES", "REACH", "Matrices", "Ring", "input_1d", "output_1d", "transform_2d", "weights_1d"]


@dataclass(frozen=True, eq=False)
class Matrices:
    """B^T, G and A^T of one m, and ``scale``."""

    bt: np.ndarray
    g: np.ndarray
    at: np.ndarray
    scale: int

    def weights(self, w: np.ndarray) -> np.ndarray:
        """U = G w G^T, int32: (N, 3, 3, C) -> (p, p, N, C), of whole numbers up to 32768; float32 holds 144 times that."""
        n, _, _, c = w.shape
        both = np.kron(self.g, self.g).astype(np.float32)
        taps = np.asarray(w).transpose(1, 2, 0, 3).reshape(9, -1).astype(np.float32)
        return (both @ taps).astype(np.int32).reshape(len(self.g), len(self.g), n, c)


def _matrix(rows: str) -> np.ndarray:
    return np.array([[int(value) for value in row.split()] for row in rows.split(";")])


MATRICES = {
    2: Matrices(
        _matrix("1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1"),
        _matrix("1 0 0; 1 1 1; 1 -1 1; 0 0 1"),
        _matrix("2 1 1 0; 0 1 -1 -2"),
        2,
    ),
    4: Matrices(
        _matrix("4 0 -5 0 1 0; 0 -4 -4 1 1 0; 0 4 -4 -1 1 0; 0 -2 -1 2 1 0; 0 2 -1 -2 1 0; 0 4 0 -5 0 1"),
        _matrix("6 0 0; -4 -4 -4; -4 4 -4; 1 2 4; 1 -2 4; 0 0 6"),
        _matrix("1 1 1 1 1 0; 0 1 -1 2 -2 0; 0 1 1 4 4 0; 0 1 -1 8 -8 4"),
        24,
    ),
}
REACH = {2: 1 << 29, 4: 1 << 25}  # |acc| must stay below


@dataclass(frozen=True)
class Ring:
    """``add``, ``sub`` and ``times`` (by a whole number) of one vector type."""

    add: Callable[[Any, Any], Any]
    sub: Callable[[Any, Any], Any]
    times: Callable[[Any, int], Any]


def input_1d(ring: Ring, d: Sequence[Any]) -> list[Any]:
    """B^T d."""
    add, sub, times = ring.add, ring.sub, ring.times
    if len(d) == 4:
        return [sub(d[0], d[2]), add(d[1], d[2]), sub(d[2], d[1]), sub(d[1], d[3])]
    a, b = sub(d[4], times(d[2], 4)), sub(d[3], times(d[1], 4))
    c, e = sub(d[4], d[2]), times(sub(d[3], d[1]), 2)
    first = add(times(sub(d[0], d[2]), 4), c)
    last = sub(sub(d[5], d[3]), times(e, 2))
    return [first, add(a, b), sub(a, b), add(c, e), sub(c, e), last]


def weights_1d(ring: Ring, g: Sequence[Any], m: int) -> list[Any]:
    """G g."""
    add, sub, times = ring.add, ring.sub, ring.times
    outer = add(g[0], g[2])
    if m == 2:
        return [g[0], add(outer, g[1]), sub(outer, g[1]), g[2]]
    far, middle = add(g[0], times(g[2], 4)), times(g[1], 2)
    return [
        times(g[0], 6), times(add(outer, g[1]), -4), times(sub(g[1], outer), 4),
        add(far, middle), sub(far, middle), times(g[2], 6),
    ]  # fmt: skip


def output_1d(ring: Ring, x: Sequence[Any]) -> list[Any]:
    """A^T x."""
    add, sub, times = ring.add, ring.sub, ring.times
    p, q = add(x[1], x[2]), sub(x[1], x[2])
    if len(x) == 4:
        return [add(times(x[0], 2), p), sub(q, times(x[3], 2))]
    r, s = add(x[3], x[4]), sub(x[3], x[4])
    return [
        add(add(x[0], p), r), add(q, times(s, 2)), add(p, times(r, 4)), add(q, times(add(times(s, 2), x[5]), 4)),
    ]  # fmt: skip


def transform_2d(step: Callable[[Sequence[Any]], list[Any]], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """T x T^T of a square ``rows[i][j]``, with ``step`` = T on one column or row."""
    columns = [step([row[j] for row in rows]) for j in range(len(rows[0]))]
    return [step([column[i] for column in columns]) for i in range(len(columns[0]))]
