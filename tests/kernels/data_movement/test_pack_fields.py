"""Where the definition of PackFieldsSpec puts a field."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.data_movement.reference import packed_fields
from lowbit.kernels.data_movement.spec import PackFieldsSpec
from lowbit.kernels.layout import Layout


@pytest.mark.parametrize(
    ("fields", "bits", "values", "expected"),
    [
        (2, 2, (1, 3, 1), [1 << 4 | 1 << 6, 3 << 4]),
        (3, 2, (1, 3, 1), [1 << 2 | 1 << 4, 3 << 2]),
        (4, 1, (1, 0, 1, 1, 0), [1 << 4 | 1 << 5, 1 << 5]),
        (6, 1, (0, 1, 1), [1 << 3 | 1 << 4]),
    ],
)
def test_reference_order(fields, bits, values, expected):
    """Channel i + bytes * j at bit 8 - bits * fields + bits * j of byte i."""
    src, dst = Layout(1, 1, 1, len(values), 16), Layout(1, 1, 1, len(expected), 16)
    pixels = np.full((1, 1, 1, 16), 9, np.uint8)
    pixels[..., : len(values)] = values
    assert packed_fields(PackFieldsSpec(src=src, dst=dst, fields=fields, bits=bits), pixels).tolist() == [[[expected]]]
