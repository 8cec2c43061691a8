"""SoftmaxSpec: integer for integer with a table, floats against float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lowbit.backend.codegen import prim_func
from lowbit.errors import UnsupportedOperation
from lowbit.kernels.layout import Layout
from lowbit.kernels.softmax.reference import softmax
from lowbit.kernels.spec import SoftmaxSpec

from ..distinct_targets import distinct_targets
from ..harness import aligned, run_kernel, runnable_targets
from ..pieces import run_in_pieces
from ..tensors import empty, inner, place, random_values

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)

#        n  h  w   c   src stride, dst stride
CASES = {
    "logits": (2, 1, 1, 1000, 1008, 1008),
    "attention": (3, 1, 7, 197, 208, 224),
    "pixels": (2, 3, 5, 19, 32, 32),
    "two": (1, 4, 3, 2, 16, 16),
    "one": (1, 1, 1, 1, 16, 16),
    "sixteen": (1, 2, 2, 16, 16, 16),
}
RESULTS = {"u8": [255 * 9, 0, 255, 0], "i16": [32767 * 9, -32768, 32767, -100], "f32": [0, 0, 0, 0]}


def table(levels: int, channels: int, scale: float) -> np.ndarray:
    """rint(2^k exp(-scale d)) with a sum over all channels below 2^31."""
    bits = 30 - math.ceil(math.log2(channels)) if channels > 1 else 30
    return np.rint(2.0**bits * np.exp(-scale * np.arange(levels))).astype(np.int32)


@TARGETS
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtypes", [("u8", "f32"), ("i16", "f32"), ("i16", "u8"), ("u8", "u8"), ("i16", "i16")])
def test_integer(target, case, dtypes):
    n, h, w, c, src_stride, dst_stride = CASES[case]
    src = Layout(n, h, w, c, src_stride, dtypes[0], top=1, right=1)
    dst = Layout(n, h, w, c, dst_stride, dtypes[1], left=1, bottom=1)
    x = random_values(np.random.default_rng(0), src)
    x.reshape(-1)[: min(4, c)] = np.iinfo(x.dtype).max  # sums at the upper end
    levels, scale = (65536, 0.0002) if dtypes[0] == "i16" else (256, 0.03)
    e = table(levels, c, scale)
    s = np.array(RESULTS[dtypes[1]], np.float32)
    spec = SoftmaxSpec(src, dst)
    got = run_in_pieces(spec, target, dst, x=place(x, src), w=e, s=s)
    np.testing.assert_array_equal(got, softmax(spec, x, e, s))


@TARGETS
def test_largest_sum(target):
    """All channels equal: the sum is 2^30 by the table's construction."""
    src, dst = Layout(1, 1, 1, 1024, 1024, "i16"), Layout(1, 1, 1, 1024, 1024, "f32")
    spec = SoftmaxSpec(src, dst)
    for value in (-32768, 32767):
        x = np.full((1, 1, 1, 1024), value, np.int16)
        got = run_in_pieces(spec, target, dst, x=place(x, src), w=table(65536, 1024, 1e-4))
        np.testing.assert_array_equal(got, np.float32(1 / 1024))


@TARGETS
def test_sign_is_always_positive(target):
    src = Layout(1, 2, 2, 5, 16)
    spec = SoftmaxSpec(src, src, sign=True)
    x = random_values(np.random.default_rng(0), src)
    got = run_in_pieces(spec, target, src, x=place(x, src), w=table(256, 5, 0.5))
    np.testing.assert_array_equal(got, 1)


@TARGETS
@pytest.mark.parametrize("case", CASES)
def test_float(target, case):
    n, h, w, c, src_stride, dst_stride = CASES[case]
    src = Layout(n, h, w, c, src_stride, "f32", top=1, right=1)
    dst = Layout(n, h, w, c, dst_stride, "f32", left=1, bottom=1)
    spec = SoftmaxSpec(src, dst)
    x = random_values(np.random.default_rng(0), src) * 20
    x[0, 0, 0, 0] = -np.inf if c > 1 else 5
    got = run_in_pieces(spec, target, dst, x=place(x, src))
    want = softmax(spec, x).astype(np.float64)
    # exp's 4e-7; c / 16 + 8 roundings of half an eps; the rounding of x - max, which exp makes relative
    distance = np.minimum(x.max(3, keepdims=True) - x, 1000)
    bound = want * (4e-7 + (c / 16 + 8 + distance) * 6e-8) + 1e-44
    assert (np.abs(got - want) <= bound).all()


@TARGETS
@pytest.mark.parametrize("dtypes", [("f32", "f32"), ("u8", "f32"), ("i16", "u8")])
def test_padding_channels_become_zero(target, dtypes):
    src, dst = Layout(1, 2, 3, 21, 32, dtypes[0]), Layout(1, 2, 3, 21, 48, dtypes[1])
    x = random_values(np.random.default_rng(0), src)
    out = empty(dst)
    s, e = aligned(np.array([255, 0, 255, 0], np.float32)), aligned(table(65536, 21, 1e-3))
    run_kernel(SoftmaxSpec(src, dst), target, x=place(x, src), w=e, s=s, o=out)
    assert not inner(out, dst)[..., 21:].any()
    assert inner(out, dst)[..., :21].any()


def test_float_source_has_no_integer_result():
    spec = SoftmaxSpec(Layout(1, 1, 1, 16, 16, "f32"), Layout(1, 1, 1, 16, 16))
    with pytest.raises(UnsupportedOperation, match="no softmax kernel from f32 to u8"):
        prim_func(spec, runnable_targets()[0])
