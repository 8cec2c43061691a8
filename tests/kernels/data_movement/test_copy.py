"""CopySpec: contiguous, strided, transposing copies, and merged dimensions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.kernels.data_movement.copy import merge
from lowbit.kernels.data_movement.reference import copy
from lowbit.kernels.spec import CopySpec

from ..distinct_targets import distinct_targets
from ..harness import aligned, run_kernel
from ..tensors import NUMPY

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)


def spec_of(dtype: str, dims: tuple[tuple[int, int, int], ...], src_offset: int = 0, dst_offset: int = 0) -> CopySpec:
    src = src_offset + 1 + sum((n - 1) * s for n, s, _ in dims)
    dst = dst_offset + 1 + sum((n - 1) * d for n, _, d in dims)
    return CopySpec(dtype, dims, src_offset, dst_offset, src, dst)


CASES = {
    "element": ((1, 1, 1),),
    "row": ((3, 100, 128), (77, 1, 1)),
    "short_row": ((3, 9, 11), (7, 1, 1)),
    "row_of_30": ((2, 40, 30), (30, 1, 1)),
    "channels": ((4, 7 * 32, 7 * 64), (7, 32, 64), (32, 1, 1)),
    "merged": ((2, 5 * 7 * 16, 5 * 7 * 16), (5, 7 * 16, 7 * 16), (7, 16, 16), (16, 1, 1)),
    "flatten": ((2, 7 * 5 * 48, 48 * 35), (5, 7 * 48, 7), (7, 48, 1), (48, 1, 35)),
    "unflatten": ((2, 48 * 35, 7 * 5 * 48), (48, 35, 1), (5, 7, 7 * 48), (7, 1, 48)),
    "transposed_tail": ((1, 0, 0), (21, 1, 35), (35, 32, 1)),
    "transposed_16": ((3, 512, 512), (16, 1, 32), (32, 16, 1)),
    "units_are_rows": ((37, 1, 40), (40, 48, 1)),
    "units_are_neighbours": ((100, 1, 1), (9, 112, 128)),
    "channel_shuffle": ((6, 64, 64), (2, 29, 1), (29, 1, 2)),
    "channel_shuffle_3": ((2, 96, 96), (20, 1, 3), (3, 20, 1)),
    "every_other": ((5, 40, 20), (20, 2, 1)),
    "reversed_axes": ((3, 1, 20), (4, 3, 5), (5, 12, 1)),
}


@TARGETS
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["u8", "i16", "f32"])
def test_copy(target, case, dtype):
    spec = spec_of(dtype, CASES[case], 5, 3)
    rng = np.random.default_rng(0)
    x = aligned(rng.integers(0, 120, spec.src_elements).astype(NUMPY[dtype]))
    out = aligned(np.full(spec.dst_elements, 121, NUMPY[dtype]))
    want = copy(spec, x, out)
    for lo, hi in ((0, spec.units // 2), (spec.units // 2, spec.units)):
        run_kernel(spec, target, lo, hi, x=x, o=out)
    np.testing.assert_array_equal(out, want)


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
