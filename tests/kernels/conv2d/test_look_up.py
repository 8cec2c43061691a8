"""The table of the look-up forms, entry by entry."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lowbit.kernels.conv2d.look_up import product_table


@pytest.mark.parametrize("fields", [1, 2, 3])
def test_every_entry(fields: int) -> None:
    table = product_table(fields).view(np.int8).reshape(4**fields, 4**fields)
    for x in itertools.product(range(4), repeat=fields):
        for w in itertools.product(range(-2, 2), repeat=fields):
            row = sum(value << 2 * j for j, value in enumerate(x))
            column = sum((value & 3) << 2 * j for j, value in enumerate(w))
            assert table[row, column] == sum(a * b for a, b in zip(x, w, strict=True))
