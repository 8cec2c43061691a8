import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.graph.oracle import exact
from lowbit.graph.oracle.exact import exact_conv2d, exact_dtype, exact_linear
from lowbit.numerics import QType


def naive_conv2d(x, w, bias, stride, padding, dilation, groups, pad_value):
    """The definition, in Python integers."""
    n, _, h, width = x.shape
    o, ci, kh, kw = w.shape
    top, left, bottom, right = padding
    oh = (h + top + bottom - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (width + left + right - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.empty((n, o, oh, ow), object)
    for b, k, y, z in itertools.product(range(n), range(o), range(oh), range(ow)):
        total = int(bias[k])
        for i, ky, kx in itertools.product(range(ci), range(kh), range(kw)):
            py, px = y * stride[0] + ky * dilation[0] - top, z * stride[1] + kx * dilation[1] - left
            inside = 0 <= py < h and 0 <= px < width
            value = int(x[b, k // (o // groups) * ci + i, py, px]) if inside else pad_value
            total += value * int(w[k, i, ky, kx])
        out[b, k, y, z] = total
    return out


def extremes(random, qtype: QType, shape) -> np.ndarray:
    """Random values with many at the ends of the range."""
    if qtype.bipolar:
        return random.choice([-1, 1], shape)
    values = random.integers(qtype.qmin, qtype.qmax + 1, shape)
    return np.where(random.random(shape) < 0.3, random.choice([qtype.qmin, qtype.qmax], shape), values)


TYPES = ["u8", "i8", "u1", "b1", "i16", "u4"]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_conv2d_equals_the_definition(data) -> None:
    small = st.integers(1, 3)
    pair = st.tuples(small, small)
    groups, per_group, outs = data.draw(small), data.draw(small), data.draw(small)
    kernel, stride, dilation = data.draw(pair), data.draw(pair), data.draw(pair)
    padding = data.draw(st.tuples(*[st.integers(0, 3)] * 4))
    size = [max(data.draw(st.integers(1, 7)), d * (k - 1) + 1) for k, d in zip(kernel, dilation, strict=True)]
    act, weight = (QType.parse(data.draw(st.sampled_from(TYPES))) for _ in range(2))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = extremes(random, act, (data.draw(small), groups * per_group, *size))
    w = extremes(random, weight, (groups * outs, per_group, *kernel))
    bias = random.integers(-(2**30), 2**30, groups * outs)
    pad_value = 1 if act.bipolar else data.draw(st.integers(-3, 3))
    args = (stride, padding, dilation, groups, pad_value)
    np.testing.assert_array_equal(exact_conv2d(x, w, bias, *args), naive_conv2d(x, w, bias, *args))


@pytest.mark.parametrize("chunk", [1, 40, 400])
def test_chunks_cover_images_and_rows(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(exact, "_CHUNK", chunk)
    random = np.random.default_rng(0)
    x, w = random.integers(0, 255, (3, 4, 7, 6)), random.integers(-127, 127, (6, 2, 3, 2))
    args = ((2, 1), (1, 0, 2, 1), (1, 2), 2, 0)
    bias = np.arange(6)
    np.testing.assert_array_equal(exact_conv2d(x, w, bias, *args), naive_conv2d(x, w, bias, *args))


@pytest.mark.parametrize(("shape", "outs"), [((5, 7), 3), ((2, 3, 7), 1), ((1, 2, 2, 7), 4)])
@pytest.mark.parametrize("largest", [255, 2**15, 2**40])
def test_linear_equals_the_definition(shape: tuple[int, ...], outs: int, largest: int) -> None:
    random = np.random.default_rng(1)
    x, w = random.integers(-largest, largest, shape), random.integers(-largest, largest, (outs, 7)) // max(1, largest // 2**15)
    bias = random.integers(-(2**30), 2**30, outs)
    expected = (x.astype(object) @ w.astype(object).T) + bias.astype(object)
    np.testing.assert_array_equal(exact_linear(x, w, bias), expected)


def test_dtype_follows_the_bound() -> None:
    """2^24 - 1 is the last sum float32 may hold, 2^53 - 1 the last of float64."""
    w, zero = np.array([[1, -3], [2, 1]]), np.zeros(2, int)
    assert exact_dtype((2**24 - 1) // 4, w, zero) == np.float32
    assert exact_dtype(2**24 // 4, w, zero) == np.float64
    assert exact_dtype(1, w, np.array([0, -(2**24)])) == np.float64
    assert exact_dtype(2**53 // 4, w, zero) == np.int64


def test_worst_case_sum_is_exact() -> None:
    """All products equal and large: 4608 * 255 * 127 > 2^24 needs more than float32."""
    x, w = np.full((1, 512, 3, 3), 255), np.full((2, 512, 3, 3), 127)
    w[1] *= -1
    out = exact_conv2d(x, w, np.array([1, -1]), (1, 1), (0, 0, 0, 0), (1, 1), 1, 0)
    assert out.ravel().tolist() == [4608 * 255 * 127 + 1, -4608 * 255 * 127 - 1]
