"""Every function of BinarySpec, integer for integer against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.elementwise.reference import binary
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import BinarySpec

from ..distinct_targets import distinct_targets
from ..pieces import run_in_pieces
from ..tensors import place, random_values

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)
HALO = {"top": 1, "left": 2, "bottom": 1, "right": 1}

SHAPES = {
    "image": (Layout(1, 5, 7, 24, 32), Layout(1, 5, 7, 24, 32), Layout(1, 5, 7, 24, 32)),
    "batch_halo": (
        Layout(2, 3, 5, 16, 16, **HALO),
        Layout(2, 3, 5, 16, 16, top=2),
        Layout(2, 3, 5, 16, 16, left=1),
    ),
    "strides": (Layout(1, 2, 3, 20, 32), Layout(1, 2, 3, 20, 48, **HALO), Layout(1, 2, 3, 20, 64)),
    "narrow_source": (Layout(2, 2, 3, 3, 3), Layout(2, 2, 3, 3, 16), Layout(2, 2, 3, 3, 16, **HALO)),
    "one_pixel": (Layout(1, 1, 1, 1, 16), Layout(1, 1, 1, 1, 16), Layout(1, 1, 1, 1, 16)),
}


def with_dtype(layout: Layout, dtype: str, **changes: int) -> Layout:
    from dataclasses import replace

    return replace(layout, dtype=dtype, **changes)


def integer_scale(fn: str, dtype: str, x_dtype: str, r_dtype: str) -> list[float]:
    """Parameters that reach both clamps and leave most results between them."""
    x_shift = -3.0 if x_dtype == "i16" else -128.0
    r_shift = 5.0 if r_dtype == "i16" else -17.0
    spread = {"u8": 1.0, "i16": 40.0}[dtype] / (150.0 if x_dtype == "i16" else 0.9)
    x_mult = spread * 0.7371 / (200.0 if fn == "mul" and r_dtype != "i16" else 9000.0 if fn == "mul" else 1.0)
    r_mult = {"u8": 1.0, "i16": 40.0}[dtype] / (150.0 if r_dtype == "i16" else 0.9) * 0.4243
    lo, hi, zero = (-100.0, 120.0, 128.0) if dtype == "u8" else (-32000.0, 31000.0, -55.0)
    return [1.0, x_shift, x_mult, 1.0, r_shift, -r_mult if fn == "sub" else r_mult, lo, hi, zero]


@TARGETS
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fn", ["add", "sub", "mul", "affine", "rescale"])
@pytest.mark.parametrize("dtypes", [("u8", "u8", "u8"), ("i16", "u8", "u8"), ("u8", "i16", "i16"), ("i16", "i16", "u8")])
def test_integer(target, shape, fn, dtypes):
    src, other, dst = (with_dtype(layout, d) for layout, d in zip(SHAPES[shape], dtypes, strict=True))
    two = fn in ("add", "sub", "mul")
    spec = BinarySpec(fn, src, other if two else None, dst)
    rng = np.random.default_rng(7)
    x, r = random_values(rng, src), random_values(rng, other)
    s = np.array(integer_scale(fn, *(dtypes[i] for i in (2, 0, 1))), np.float32)
    w = rng.normal(s[2], 0.01, dst.stride).astype(np.float32)
    b = rng.normal(0, 5, dst.stride).astype(np.float32)
    per_channel = {"w": w, "b": b} if fn == "affine" else {}
    got = run_in_pieces(spec, target, dst, x=place(x, src), r=place(r, other) if two else None, s=s, **per_channel)
    want = binary(spec, s, x, r if two else None, w[: dst.c], b[: dst.c])
    np.testing.assert_array_equal(got, want)
    if shape != "one_pixel":
        assert len(np.unique(got)) > 5


@TARGETS
@pytest.mark.parametrize("fn", ["add", "mul"])
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("dtype", ["u8", "f32"])
def test_pixel_broadcast(target, fn, images, dtype):
    src, dst = Layout(2, 3, 5, 40, 48, dtype), Layout(2, 3, 5, 40, 48, dtype, **HALO)
    other = Layout(images, 1, 1, 40, 48, dtype)
    spec = BinarySpec(fn, src, other, dst, "pixel")
    rng = np.random.default_rng(3)
    x, r = random_values(rng, src), random_values(rng, other)
    s = np.array([-2.0, 1.5] if dtype == "f32" else integer_scale(fn, "u8", "u8", "u8"), np.float32)
    got = run_in_pieces(spec, target, dst, x=place(x, src), r=place(r, other), s=s)
    np.testing.assert_array_equal(got, binary(spec, s, x, r))


@TARGETS
@pytest.mark.parametrize("fn", ["add", "affine", "rescale", "mul"])
def test_sign(target, fn):
    src = Layout(1, 3, 4, 20, 32)
    other = src if fn in ("add", "mul") else None
    spec = BinarySpec(fn, src, other, src, sign=True)
    rng = np.random.default_rng(5)
    x, r = random_values(rng, src, 2), random_values(rng, src, 2)
    s = np.array([2, -1, 0.5, 2, -1, 0.5, -1, 1, 0], np.float32)  # b1 operands; sums that are exactly 0 give +1
    w, b = np.full(32, 0.5, np.float32), np.full(32, -0.5, np.float32)
    extra = {"w": w, "b": b} if fn == "affine" else {}
    got = run_in_pieces(spec, target, src, x=place(x, src), r=place(r, src) if other else None, s=s, **extra)
    want = binary(spec, s, x, r if other else None, w[:20], b[:20])
    np.testing.assert_array_equal(got, want)
    assert set(np.unique(got)) == {0, 1}


@TARGETS
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fn", ["add", "sub", "mul", "affine", "rescale"])
def test_float(target, shape, fn):
    src, other, dst = (with_dtype(layout, "f32") for layout in SHAPES[shape])
    two = fn in ("add", "sub", "mul")
    spec = BinarySpec(fn, src, other if two else None, dst)
    rng = np.random.default_rng(11)
    x, r = random_values(rng, src), random_values(rng, other)
    w, b = rng.standard_normal((2, dst.stride)).astype(np.float32)
    s = np.array([-1.25, np.inf], np.float32)
    per_channel = {"w": w, "b": b} if fn == "affine" else {}
    got = run_in_pieces(spec, target, dst, x=place(x, src), r=place(r, other) if two else None, s=s, **per_channel)
    want = binary(spec, s, x, r if two else None, w[: dst.c], b[: dst.c])
    # one fused multiply-add against two roundings: |error| <= eps * (|x*w| + |result|)
    np.testing.assert_allclose(got, want, rtol=3e-7, atol=3e-6 if fn == "affine" else 0)


@TARGETS
def test_addition_rounds_each_product(target):
    """A fused multiply-add differs from the contract on some of these 65536 pairs of bytes."""
    layout = Layout(1, 16, 16, 256, 256)
    spec = BinarySpec("add", layout, layout, layout)
    x, r = (v.reshape(1, 16, 16, 256).astype(np.uint8) for v in np.divmod(np.arange(65536), 256))
    differences = 0
    for seed in range(8):
        mx, mr = np.random.default_rng(seed).uniform(0.2, 0.6, 2).astype(np.float32)
        s = np.array([1, 0, mx, 1, 0, mr, 0, 255, 0], np.float32)
        got = run_in_pieces(spec, target, layout, x=place(x, layout), r=place(r, layout), s=s)
        np.testing.assert_array_equal(got, binary(spec, s, x, r))
        fused = np.float64(x) * np.float64(mx) + np.float32(np.float32(r) * mr)
        differences += int((np.clip(np.rint(fused), 0, 255) != got).sum())
    assert differences > 0
