import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.numerics import QParams, QType, dequantize, multiplier, quantize, requantize
from tests.numerics.test_qtype import ALL

scales = st.floats(2.0**-30, 2.0**10, width=32)
reals = st.floats(-(2.0**40), 2.0**40, width=32)


def nearest_even(x: Fraction) -> int:
    floor = math.floor(x)
    rest = x - floor
    return floor + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2 == 1))


def to_float32(x: Fraction) -> Fraction:
    """x rounded to 24 significant bits, half to even (no subnormals, no overflow)."""
    if x == 0:
        return x
    exponent = math.floor(math.log2(abs(x))) if abs(x).denominator == 1 else 0
    while abs(x) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(x) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (exponent - 23)
    return nearest_even(x / unit) * unit


def params(qtype: QType, scale: float, zero: int = 0) -> QParams:
    return QParams(qtype, np.float32(scale), 0 if qtype.bipolar else int(np.clip(zero, qtype.qmin, qtype.qmax)))


@given(
    acc=st.integers(-(2**31), 2**31 - 1),
    factor=st.floats(2.0**-60, 2.0**8, width=32),
    qtype=st.sampled_from([q for q in ALL if not q.bipolar]),
    zero=st.integers(-200, 200),
)
def test_requantize_against_rational_arithmetic(acc: int, factor: float, qtype: QType, zero: int) -> None:
    zero = int(np.clip(zero, qtype.qmin, qtype.qmax))
    product = to_float32(to_float32(Fraction(acc)) * Fraction(factor))
    expected = min(max(nearest_even(product) + zero, qtype.qmin), qtype.qmax)
    got = requantize(np.array([acc], np.int64), np.float32(factor), qtype.qmin, qtype.qmax, zero)
    assert got.dtype == np.int32
    assert got[0] == expected


@given(x=reals, scale=scales, qtype=st.sampled_from([q for q in ALL if not q.bipolar]), zero=st.integers(-200, 200))
def test_quantize_against_rational_arithmetic(x: float, scale: float, qtype: QType, zero: int) -> None:
    p = params(qtype, scale, zero)
    quotient = to_float32(Fraction(x) / Fraction(scale))
    expected = min(max(nearest_even(quotient) + p.zero_point, qtype.qmin), qtype.qmax)
    if abs(quotient) > Fraction(2) ** -120:
        assert quantize(np.float32(x), p) == expected


@given(a=reals, b=reals, scale=scales, qtype=st.sampled_from(ALL), zero=st.integers(-200, 200))
def test_quantize_is_monotone_and_in_range(a: float, b: float, scale: float, qtype: QType, zero: int) -> None:
    p = params(qtype, scale, zero)
    low, high = quantize(np.array(sorted([a, b]), np.float32), p).astype(int)
    assert qtype.qmin <= low <= high <= qtype.qmax


@given(scale=scales, qtype=st.sampled_from(ALL), zero=st.integers(-200, 200))
def test_fake_quantize_is_idempotent(scale: float, qtype: QType, zero: int) -> None:
    p = params(qtype, scale, zero)
    q = np.array([-1, 1], np.int8) if qtype.bipolar else np.arange(qtype.qmin, qtype.qmax + 1, max(1, 2**qtype.bits // 997))
    np.testing.assert_array_equal(quantize(dequantize(q, p), p), q)


def test_special_values() -> None:
    p = params(QType.parse("u8"), 0.5, 10)
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 0.25, 0.75], np.float32)
    assert quantize(x, p).tolist() == [0, 255, 0, 10, 10, 10, 12]  # 0.5 and 1.5 steps round to even
    b = params(QType.parse("b1"), 0.5)
    assert quantize(np.array([-0.1, -0.0, 0.0, 3.0, np.nan], np.float32), b).tolist() == [-1, 1, 1, 1, -1]


def test_per_channel_and_per_group_dequantize() -> None:
    qtype = QType.parse("i4")
    q = np.array([[1, 2, 3, -4], [5, 6, 7, -8]], np.int8)
    p = QParams(qtype, np.array([0.5, 2.0]), axis=0, group_size=2, group_scale=np.array([[1, 3], [2, 1]], np.uint8))
    np.testing.assert_array_equal(dequantize(q, p), [[0.5, 1, 4.5, -6], [20, 24, 14, -16]])
    conv = dequantize(q.reshape(2, 4, 1, 1), p)
    assert conv.shape == (2, 4, 1, 1)
    np.testing.assert_array_equal(conv.reshape(2, 4), dequantize(q, p))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_quantize_along_an_axis(axis: int) -> None:
    x = np.full((2, 2, 2), 3.0, np.float32)
    q = quantize(x, QParams(QType.parse("i8"), np.array([1.0, 0.5]), axis=axis))
    assert np.take(q, 0, axis).tolist() == [[3, 3], [3, 3]]
    assert np.take(q, 1, axis).tolist() == [[6, 6], [6, 6]]


def test_multiplier_divides_in_float64() -> None:
    a, b, c = np.float32(0.1), np.float32(0.3), np.float32(0.7)
    expected = np.float32(np.float64(a) * np.float64(b) / np.float64(c))
    assert multiplier(np.float64(a) * np.float64(b), c) == expected
    assert multiplier(a, c).dtype == np.float32
