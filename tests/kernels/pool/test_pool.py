"""PoolSpec against numpy: odd windows, halos, batches, global pools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lowbit.kernels.layout import Layout
from lowbit.kernels.pool.reference import pool
from lowbit.kernels.spec import PoolSpec

from ..distinct_targets import distinct_targets
from ..pieces import run_in_pieces
from ..tensors import place, random_values

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)


def windows(extent: int, kernel: int, stride: int, pad: int) -> list[tuple[int, int]]:
    count = (extent + 2 * pad - kernel) // stride + 1
    return [(max(i * stride - pad, 0), min(i * stride - pad + kernel, extent)) for i in range(count)]


#        n  h   w   c   src stride, dst stride, kernel, stride, padding
CASES = {
    "3x3s2p1": (2, 9, 11, 64, 64, 64, 3, 2, 1),
    "2x2": (1, 6, 8, 20, 32, 48, 2, 2, 0),
    "global": (2, 7, 5, 144, 144, 144, None, 1, 0),
    "3x3s1p1_strides": (1, 5, 5, 17, 48, 32, 3, 1, 1),
    "one_pixel": (1, 1, 1, 1, 16, 16, 1, 1, 0),
    "narrow": (1, 6, 6, 3, 3, 16, 2, 2, 0),
}


SAME = [("u8", "u8"), ("i16", "i16"), ("f32", "f32")]
FORMS = [("max", d) for d in SAME] + [("avg", d) for d in (*SAME, ("u8", "i16"), ("i16", "u8"))]


@TARGETS
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("fn", "dtypes"), FORMS)
def test_pool(target, case, fn, dtypes):
    n, h, w, c, src_stride, dst_stride, kernel, stride, pad = CASES[case]
    ys = windows(h, kernel or h, stride, pad)
    xs = windows(w, kernel or w, stride, pad)
    src = Layout(n, h, w, c, src_stride, dtypes[0], top=1, right=1)
    dst = Layout(n, len(ys), len(xs), c, dst_stride, dtypes[1], left=1, bottom=2)
    spec = PoolSpec(fn, src, dst)
    t = np.array([y for y, _ in ys] + [y for _, y in ys] + [x for x, _ in xs] + [x for _, x in xs], np.int32)
    x = random_values(np.random.default_rng(1), src)
    if dtypes[0] == "i16" and fn == "max":
        x = np.minimum(x, -5)  # below the zeros of an accumulator that started wrong
    divisors = np.array([(y1 - y0) * (x1 - x0) for y0, y1 in ys for x0, x1 in xs])
    scale = {("i16", "u8"): 0.004, ("u8", "i16"): 90.7}.get(dtypes, 1.0)
    header = [] if dtypes[0] == "f32" else [1, -3, *((-100, 120, 128) if dtypes[1] == "u8" else (-32000, 32000, 7))]
    s = np.concatenate([header, scale * 1.0137 / divisors]).astype(np.float32)
    got = run_in_pieces(spec, target, dst, x=place(x, src), t=t, s=s)
    want = pool(spec, x, t, s)
    if dtypes[0] == "f32" and fn == "avg":  # n - 1 additions and one product, each within eps/2 of sum |x|
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=64 * 6e-8 * np.abs(x).max())
    else:
        np.testing.assert_array_equal(got, want)


@TARGETS
def test_sign_of_mean(target):
    src, dst = Layout(1, 4, 4, 16, 16), Layout(1, 2, 2, 16, 16)
    spec = PoolSpec("avg", src, dst, sign=True)
    x = random_values(np.random.default_rng(2), src, 2)
    t = np.array([0, 2, 2, 4, 0, 2, 2, 4], np.int32)
    s = np.array([2, -1, -1, 1, 0, *[0.25] * 4], np.float32)
    got = run_in_pieces(spec, target, dst, x=place(x, src), t=t, s=s)
    mean = (2.0 * x - 1).reshape(1, 2, 2, 2, 2, 16).mean((2, 4))
    np.testing.assert_array_equal(got, mean >= 0)
    assert (mean == 0).any()


@TARGETS
def test_largest_sum(target):
    """All ends of int16 over a large window: the sum is exact in int32."""
    src, dst = Layout(1, 64, 64, 16, 16, "i16"), Layout(1, 1, 1, 16, 16, "i16")
    spec = PoolSpec("avg", src, dst)
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
    spec = PoolSpec("avg", src, dst, wide=True)
    t = np.array([0, 320, 0, 1, 320, 320], np.int32)
    header = {"i16": [1, 0, -32768, 32767, 0], "u8": [1, -3, 0, 255, 3], "f32": []}[dtypes[0]]
    s = np.array([*header, 1 / 102400, 1 / 102080], np.float32)
    x = np.full((1, 320, 320, 16), value, {"i16": np.int16, "u8": np.uint8, "f32": np.float32}[dtypes[0]])
    got = run_in_pieces(spec, target, dst, x=place(x, src), t=t, s=s)
    if dtypes[0] != "f32":
        np.testing.assert_array_equal(got, pool(spec, x, t, s))
    np.testing.assert_allclose(got, value, rtol=2e-7)


def test_reference_takes_only_the_window():
    spec = PoolSpec("max", Layout(1, 2, 2, 1, 16), replace(Layout(1, 1, 1, 1, 16)))
    x = np.array([[9, 1], [2, 3]], np.uint8).reshape(1, 2, 2, 1)
    assert pool(spec, x, np.array([0, 2, 1, 2], np.int32)).item() == 3
