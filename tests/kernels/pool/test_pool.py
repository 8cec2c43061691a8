"""Pools at the limits of their sums; kernels/pool/cases.py has all others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lowbit.kernels.layout import Layout
from lowbit.kernels.pool.reference import pool
from lowbit.kernels.pool.spec import PoolSpec

from ..distinct_targets import distinct_targets
from ..pieces import run_in_pieces
from ..tensors import place

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)


@TARGETS
def test_largest_sum(target):
    """All ends of int16 over a large window: the sum is exact in int32."""
    src, dst = Layout(1, 64, 64, 16, 16, "i16"), Layout(1, 1, 1, 16, 16, "i16")
    spec = PoolSpec(fn="avg", src=src, dst=dst)
    t = np.array([0, 64, 0, 64], np.int32)
    s = np.array([1, 0, -32768, 32767, 0, 1 / 4096], np.float32)
    for value in (-32768, 32767):
        x = np.full((1, 64, 64, 16), value, np.int16)
        got = run_in_pieces(spec, target, dst, x=place(x, src), t=t, s=s)
        np.testing.assert_array_equal(got, value)
        np.testing.assert_array_equal(got, pool(spec, x, t, s))


@TARGETS
@pytest.mark.parametrize(
    ("dtypes", "value"), [(("i16", "i16"), 32767), (("i16", "i16"), -32768), (("u8", "u8"), 255), (("f32", "f32"), 0.1)]
)
def test_sums_that_leave_int32_are_float64(target, dtypes, value):
    """320 x 320 ends of int16 are 3.4e9; float32 sums would be off in the third digit."""
    src, dst = Layout(1, 320, 320, 16, 16, dtypes[0]), Layout(1, 1, 2, 16, 16, dtypes[1])
    spec = PoolSpec(fn="avg", src=src, dst=dst, wide=True)
    t = np.array([0, 320, 0, 1, 320, 320], np.int32)
    header = {"i16": [1, 0, -32768, 32767, 0], "u8": [1, -3, 0, 255, 3], "f32": []}[dtypes[0]]
    s = np.array([*header, 1 / 102400, 1 / 102080], np.float32)
    x = np.full((1, 320, 320, 16), value, {"i16": np.int16, "u8": np.uint8, "f32": np.float32}[dtypes[0]])
    got = run_in_pieces(spec, target, dst, x=place(x, src), t=t, s=s)
    if dtypes[0] != "f32":
        np.testing.assert_array_equal(got, pool(spec, x, t, s))
    np.testing.assert_allclose(got, value, rtol=2e-7)


def test_reference_takes_only_the_window():
    spec = PoolSpec(fn="max", src=Layout(1, 2, 2, 1, 16), dst=replace(Layout(1, 1, 1, 1, 16)))
    x = np.array([[9, 1], [2, 3]], np.uint8).reshape(1, 2, 2, 1)
    assert pool(spec, x, np.array([0, 2, 1, 2], np.int32)).item() == 3
