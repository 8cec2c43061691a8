"""How copies merge dimensions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lowbit.kernels.data_movement.copy import merge


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4))
def test_merge_keeps_the_moves_of_every_unit(dims):
    def moves(dims):
        places = [(0, 0)]
        for n, s, d in dims[1:]:
            places = [(a + i * s, b + i * d) for a, b in places for i in range(n)]
        return dims[0], sorted(places)

    assert moves(merge(tuple(dims))) == moves(dims)


def test_merge_orders_by_destination_and_joins():
    assert merge(((2, 0, 640), (32, 1, 1), (5, 128, 128), (4, 32, 32), (1, 7, 7))) == ((2, 0, 640), (640, 1, 1))
