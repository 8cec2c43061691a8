"""DepthwiseSpec against numpy: widths, strides, dilations, residuals, worst cases."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.depthwise_conv2d.reference import accumulate, depthwise
from lowbit.kernels.depthwise_conv2d.tile import column_readers, tile_width
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import DepthwiseSpec
from lowbit.targets import TARGETS as ALL_TARGETS

from ..distinct_targets import distinct_targets
from ..pieces import run_in_pieces
from ..tensors import physical, place, random_values

TARGETS = pytest.mark.parametrize("target", distinct_targets("avx512vnni"), ids=lambda t: t.name)

#         n  h   w   c   stride kernel  stride  dilation padding (top, left, bottom, right)
CASES = {
    "3x3": (1, 6, 14, 32, 32, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "3x3s2": (2, 9, 15, 48, 48, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
    "5x5": (1, 7, 7, 20, 32, (5, 5), (1, 1), (1, 1), (2, 2, 2, 2)),
    "3x3d2": (1, 8, 9, 16, 16, (3, 3), (1, 1), (2, 2), (2, 2, 2, 2)),
    "2x4": (1, 5, 6, 5, 16, (2, 4), (1, 2), (1, 1), (0, 1, 1, 2)),
    "1x1": (1, 3, 5, 17, 32, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
    "7x7": (1, 7, 8, 16, 16, (7, 7), (1, 1), (1, 1), (3, 3, 3, 3)),
    "one_pixel": (1, 1, 1, 1, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "column": (2, 5, 1, 16, 16, (3, 1), (1, 1), (1, 1), (1, 0, 1, 0)),
}

#          source dst    form   wide   weight range        residual
WIDTHS = {
    "u8i8": ("u8", "u8", "i8", False, (-128, 128), None),
    "u8i8_add": ("u8", "u8", "i8", False, (-128, 128), "u8"),
    "u8i8_f32": ("u8", "f32", "i8", False, (-128, 128), None),
    "u8i8_f32_add": ("u8", "f32", "i8", False, (-128, 128), "u8"),
    "u8i4_i16": ("u8", "i16", "i8", False, (-8, 8), "i16"),
    "i16i8": ("i16", "i16", "i16", False, (-128, 128), None),
    "i16i16": ("i16", "i16", "i16", True, (-32768, 32768), None),
    "i16i8_wide_add": ("i16", "u8", "i16", True, (-128, 128), "i16"),
    "u8i16": ("u8", "u8", "i16", True, (-32768, 32768), None),
    "f32": ("f32", "f32", "f32", False, None, None),
    "f32_add": ("f32", "f32", "f32", False, None, "f32"),
}


def make(case: str, width: str, **changes) -> DepthwiseSpec:
    n, h, w, c, physical_channels, kernel, stride, dilation, (top, left, bottom, right) = CASES[case]
    src_dtype, dst_dtype, form, wide, _, residual = WIDTHS[width]
    oh = (h + top + bottom - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
    ow = (w + left + right - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
    # one more halo than this layer needs: another reader may want it
    src = Layout(n, h, w, c, physical_channels, src_dtype, top + 1, left, bottom, right + 1)
    dst = Layout(n, oh, ow, c, physical_channels, dst_dtype, 1, 2, 0, 1)
    other = Layout(n, oh, ow, c, physical_channels, residual, 0, 1, 1, 0) if residual else None
    return DepthwiseSpec(src, dst, other, kernel, stride, dilation, (top, left), src_dtype, form, form, wide=wide, **changes)


def packed(spec: DepthwiseSpec, w: np.ndarray) -> np.ndarray:
    """(kh, kw, c) -> [tap][part][dst.stride], 1 in the padding channels."""
    taps = np.ones((w.shape[0] * w.shape[1], spec.dst.stride), w.dtype)
    taps[:, : w.shape[2]] = w.reshape(-1, w.shape[2])
    if spec.form == "f32":
        return taps.astype(np.float32)
    if not spec.wide:
        return taps.astype(np.int8 if spec.form == "i8" else np.int16)
    high = (taps + 128) >> 8
    return np.stack([high, taps - 256 * high], 1).astype(np.int16)


def padded(values: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([values, np.ones(count - len(values), values.dtype)])


def check(spec: DepthwiseSpec, target, x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray, scalars, r=None):
    """Run and compare; x with the halo (n, hp, wp, c).  Returns the result."""
    channels, floats = spec.dst.stride, spec.form == "f32"
    memory = place(np.zeros((spec.src.n, spec.src.h, spec.src.w, spec.src.c)), spec.src)
    physical(memory, spec.src)[..., : spec.src.c] = x
    bias = padded(b, channels).astype(np.float32 if floats else np.float64 if spec.wide else np.int32)
    tail = np.asarray(scalars, np.float32)
    s = tail if floats else np.concatenate([padded(m, channels), tail]).astype(np.float32)
    placed = None if r is None else place(r, spec.residual)
    got = run_in_pieces(spec, target, spec.dst, x=memory, w=packed(spec, w), b=bias, s=s, r=placed)
    want = depthwise(spec, x, w, b, tail if floats else np.concatenate([m, tail]), r)
    if floats:
        bound = accumulate(spec, np.abs(x), np.abs(w)) + np.abs(b) + 4
        assert (np.abs(got - want) <= 2 * (w.shape[0] * w.shape[1] + 2) * 6e-8 * bound).all()
    else:
        np.testing.assert_array_equal(got, want)
    return got


def random_case(spec: DepthwiseSpec, width: str, rng: np.random.Generator):
    """x, w, b, m, scalars, r that fill the output's range."""
    kh, kw, c = *spec.kernel, spec.dst.c
    whole = Layout(spec.src.n, spec.src.hp, spec.src.wp, c, c, spec.src.dtype)
    x = random_values(rng, whole)
    r = random_values(rng, spec.residual) if spec.residual else None
    if spec.form == "f32":
        w, b = rng.standard_normal((kh, kw, c)).astype(np.float32), rng.standard_normal(c).astype(np.float32)
        return x, w, b, None, (-2.0, np.inf), r
    w = rng.integers(*WIDTHS[width][4], (kh, kw, c))
    spread = np.abs(accumulate(spec, x, w)).mean() * (1 << spec.acc_shift) + 1
    b = rng.integers(-int(spread), int(spread) + 1, c)
    if not spec.wide:
        b = np.clip(b, -(2**30), 2**30)
    target_range = {"u8": 60.0, "i16": 9000.0, "f32": 3.0}[spec.dst.dtype]
    m = (target_range / spread * rng.uniform(0.5, 1.5, c)).astype(np.float32)
    lo, hi, zero = {"u8": (-100, 120, 128), "i16": (-32000, 32000, 60), "f32": (-4, 5, 0)}[spec.dst.dtype]
    r_multiplier = target_range / (100 if spec.residual is None or spec.residual.dtype == "u8" else 20000)
    return x, w, b, m, (lo, hi, zero, 1, -120, r_multiplier), r


@TARGETS
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", WIDTHS)
def test_random(target, case, width):
    spec = make(case, width)
    got = check(spec, target, *random_case(spec, width, np.random.default_rng(0)))
    if case != "one_pixel":
        assert len(np.unique(got)) > 5


@TARGETS
@pytest.mark.parametrize("width", ["u8i8", "i16i16"])
def test_accumulator_shift(target, width):
    spec = make("3x3", width, acc_shift=3)
    check(spec, target, *random_case(spec, width, np.random.default_rng(1)))


@TARGETS
@pytest.mark.parametrize("residual", [False, True])
def test_sign(target, residual):
    spec = make("3x3", "u8i8_add" if residual else "u8i8", sign=True)
    x, w, b, m, scalars, r = random_case(spec, "u8i8", np.random.default_rng(2))
    got = check(spec, target, x, w, b, m, scalars, r)
    assert set(np.unique(got)) == {0, 1}


@TARGETS
@pytest.mark.parametrize("width", ["u8i8", "i16i16", "i16i8_wide_add", "u8i16"])
@pytest.mark.parametrize("x_end", ["min", "max"])
@pytest.mark.parametrize("w_end", ["min", "max"])
def test_ends_of_the_range(target, width, x_end, w_end):
    """Every value at an end of its type: the largest sums there are."""
    spec = make("7x7", width)
    shape = (spec.src.n, spec.src.hp, spec.src.wp, spec.dst.c)
    ends = np.iinfo(np.uint8 if spec.src.dtype == "u8" else np.int16)
    low, high = WIDTHS[width][4]
    x = np.full(shape, getattr(ends, x_end), ends.dtype)
    w = np.full((*spec.kernel, spec.dst.c), low if w_end == "min" else high - 1, np.int64)
    acc = int(np.abs(accumulate(spec, x, w)).max()) or 1
    m = np.full(spec.dst.c, 90.3 / acc, np.float32)
    r = None if spec.residual is None else np.zeros((spec.dst.n, spec.dst.h, spec.dst.w, spec.dst.c), np.int16)
    check(spec, target, x, w, np.zeros(spec.dst.c, np.int64), m, (-100, 120, 128, 1, 0, 1), r)


@TARGETS
def test_i16_pairs_of_most_negative_values(target):
    """-32768 * -32768 twice is 2^31, the one pair sum pmaddwd wraps; other taps bring the total back."""
    spec = make("3x3", "i16i8")
    x = np.full((spec.src.n, spec.src.hp, spec.src.wp, spec.dst.c), -32768, np.int16)
    w = np.zeros((3, 3, spec.dst.c), np.int64)
    w[0] = w[1] = -32768
    w[2] = 32767
    w[:, 1:] = 0
    m = np.full(spec.dst.c, 3e-5, np.float32)
    check(spec, target, x, w, np.zeros(spec.dst.c, np.int64), m, (-32768, 32767, 0, 1, 0, 1))


@pytest.mark.parametrize("target", ALL_TARGETS.values(), ids=lambda t: t.name)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", ["u8i8", "i16i16", "f32"])
def test_tile_fits(case, width, target):
    spec = make(case, width)
    pixels = tile_width(spec, target)
    assert 1 <= pixels <= min(spec.dst.w, 8)
    assert -(-spec.dst.w // pixels) * pixels < 2 * spec.dst.w


def test_column_readers_cover_every_tap_once():
    pairs = [pair for _, readers in column_readers(4, 3, 2, 2) for pair in readers]
    assert sorted(pairs) == [(pixel, tap) for pixel in range(4) for tap in range(3)]
    assert dict(column_readers(2, 3, 1, 1))[1] == [(0, 1), (1, 0)]
