"""The tables of the look-up forms, entry by entry."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lowbit.kernels.conv2d.look_up import fits_index, product_table


@pytest.mark.parametrize(("fields", "bits"), [(1, 2), (2, 2), (3, 2), (1, 1), (2, 1), (4, 1)])
def test_every_entry(fields: int, bits: int) -> None:
    entries = 2 ** (bits * fields)
    table = product_table(fields, bits).view(np.int8).reshape(entries, entries)
    weights = (-1, 1) if bits == 1 else range(-2, 2)
    for x in itertools.product(range(2**bits), repeat=fields):
        for w in itertools.product(weights, repeat=fields):
            row = sum(value << bits * j for j, value in enumerate(x))
            column = sum((value > 0 if bits == 1 else value & 3) << bits * j for j, value in enumerate(w))
            assert table[row, column] == sum(a * b for a, b in zip(x, w, strict=True))


@pytest.mark.parametrize(
    ("weights", "one_bit", "two_bits"),
    [((-1, 1), True, True), ((-1, 0, 1), False, True), ((-2, 1), False, True), ((-1, 2), False, False)],
)
def test_what_an_index_holds(weights: tuple[int, ...], one_bit: bool, two_bits: bool) -> None:
    assert fits_index(np.array(weights), 1) == one_bit
    assert fits_index(np.array(weights), 2) == two_bits
