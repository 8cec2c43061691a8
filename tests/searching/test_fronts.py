"""Dominance and hypervolume against other ways to compute them."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.searching.fronts import front, hypervolume, hypervolume_history, reference_point

points = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(0, 6)] * m), min_size=1, max_size=9).map(lambda rows: np.array(rows, float))
)


@settings(max_examples=200, deadline=None)
@given(points)
def test_hypervolume_counts_cells(rows: np.ndarray) -> None:
    """On whole numbers it is the number of unit cells that some point dominates."""
    m = rows.shape[1]
    cells = sum(any(all(row[k] <= cell[k] for k in range(m)) for row in rows) for cell in product(range(7), repeat=m))
    assert hypervolume(rows, np.full(m, 7.0)) == pytest.approx(cells)


@settings(max_examples=200, deadline=None)
@given(points)
def test_the_front_is_what_nothing_dominates(rows: np.ndarray) -> None:
    keep = front(rows)
    for i, row in enumerate(rows):
        dominated = any((other <= row).all() and (other < row).any() for other in rows)
        again = any((rows[j] == row).all() for j in range(i))
        assert keep[i] == (not dominated and not again)


def test_history_grows_and_ends_with_the_volume() -> None:
    rows = np.random.default_rng(0).random((30, 3))
    reference = reference_point(rows)
    history = hypervolume_history([None, *rows], reference)
    assert history[0] == 0
    assert all(a <= b + 1e-12 for a, b in pairwise(history))
    assert history[-1] == pytest.approx(hypervolume(rows, reference))
    assert (reference > rows.max(0)).all()
