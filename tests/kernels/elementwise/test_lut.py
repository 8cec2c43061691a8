"""LutSpec: every index, every pair of element types."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import LutSpec

from ..distinct_targets import distinct_targets
from ..pieces import run_in_pieces
from ..tensors import NUMPY, place

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)


@TARGETS
@pytest.mark.parametrize("src_dtype", ["u8", "i16"])
@pytest.mark.parametrize("dst_dtype", ["u8", "i16", "f32"])
def test_every_index(target, src_dtype, dst_dtype):
    src = Layout(1, 32, 32, 64, 64, src_dtype)
    dst = Layout(1, 32, 32, 64, 64, dst_dtype, 1, 1, 1, 1)
    x = np.arange(65536).reshape(1, 32, 32, 64)
    x = (x - 32768).astype(np.int16) if src_dtype == "i16" else (x % 256).astype(np.uint8)
    rng = np.random.default_rng(0)
    table = rng.integers(-32768, 32768, 65536 if src_dtype == "i16" else 256).astype(NUMPY[dst_dtype])
    got = run_in_pieces(LutSpec(src, dst), target, dst, x=place(x, src), w=table)
    np.testing.assert_array_equal(got, table[x.astype(np.int64) + (32768 if src_dtype == "i16" else 0)])


@TARGETS
@pytest.mark.parametrize("shape", [(2, 3, 5, 20, 32, 48), (1, 1, 1, 1, 16, 16), (2, 2, 3, 3, 3, 16), (1, 5, 7, 16, 16, 16)])
def test_layouts(target, shape):
    n, h, w, c, src_stride, dst_stride = shape
    src, dst = Layout(n, h, w, c, src_stride, "u8", top=1), Layout(n, h, w, c, dst_stride, "u8", left=1, bottom=1)
    x = np.random.default_rng(1).integers(0, 256, (n, h, w, c)).astype(np.uint8)
    table = np.random.default_rng(2).permutation(256).astype(np.uint8)
    got = run_in_pieces(LutSpec(src, dst), target, dst, x=place(x, src), w=table)
    np.testing.assert_array_equal(got, table[x])
