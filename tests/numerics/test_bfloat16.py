"""float32 as two bfloat16: what is left out, beside what is said of it, everywhere and at its worst."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.numerics.bfloat16 import BF16X3_SPLIT, SMALLEST, bf16x3_relative, from_bfloat16, split, splits

WORST = 1 + 2**-8 - 3 * 2**-17  # a - h is as large as it gets but for a tie, which l leaves half a unit of


def halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, h, l in float64."""
    a = np.asarray(values, np.float32)
    high, low = (from_bfloat16(half).astype(np.float64) for half in split(a))
    return a.astype(np.float64), high, low


def test_halves_of_all_floats() -> None:
    """A sample of every binade from 2^-100 on, and all ends of significands."""
    rng = np.random.default_rng(0)
    ends, worst = np.arange(1 << 10), int((WORST - 1) * 2**23)
    significands = np.concatenate([ends, (1 << 23) - 1 - ends, worst - 512 + ends, rng.integers(0, 1 << 23, 1 << 12)])
    bits = (np.arange(27, 254)[:, None] << 23 | significands).astype(np.uint32).reshape(-1)
    for sign in (0, 1 << 31):
        a, high, low = halves((bits | np.uint32(sign)).view(np.float32))
        assert (np.abs(a - high) <= 2**-8 * np.abs(a)).all()
        assert (np.abs(low) <= 2**-8 * np.abs(a)).all()
        assert (np.abs(a - high - low) <= 2**-17 * np.abs(a)).all()
        assert (np.abs(a - high - low) >= 0.99 * 2**-17 * np.abs(a)).any()


def test_ties_go_to_even() -> None:
    """1 + 2^-8 lies in the middle of 1 and 1 + 2^-7, 1 + 3 * 2^-8 in that of the latter and 1 + 2^-6."""
    _, high, low = halves(np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 1 + 2**-8 + 2**-23]))
    assert high.tolist() == [1, 1 + 2**-6, -1, 1 + 2**-7]
    assert low.tolist() == [2**-8, -(2**-8), -(2**-8), -(2**-8)]


def test_what_three_products_leave_out() -> None:
    """At most BF16X3_SPLIT of |a b|, which numbers near WORST come close to."""
    rng = np.random.default_rng(1)
    near = np.float32(WORST) + rng.integers(-64, 64, (2, 1 << 14)).astype(np.float32) * np.float32(2**-23)
    anywhere = rng.standard_normal((2, 1 << 16)) * 2.0 ** rng.integers(-40, 40, (2, 1 << 16))
    for pair, least in ((near, 0.98), (anywhere, 0.5)):
        (a, a_h, a_l), (b, b_h, b_l) = (halves(values) for values in pair)
        left = np.abs(a * b - (a_h * b_h + a_h * b_l + a_l * b_h)) / np.abs(a * b)
        assert least * BF16X3_SPLIT < left.max() <= BF16X3_SPLIT * (1 + 2**-40)  # float64's own roundings


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, np.finfo(np.float32).max, 2.0**128 - 2.0**119])
def test_what_has_no_halves_has_no_finite_sum(value: float) -> None:
    assert not splits(np.array([1, value], np.float32))
    _, high, low = halves(np.array([value]))
    with np.errstate(invalid="ignore"):
        assert np.isnan(high + low).all()


def test_the_largest_that_has() -> None:
    value = np.nextafter(np.float32(2.0**128 - 2.0**119), np.float32(0))
    assert splits(np.array([value, -value, 0, SMALLEST, 1e-45], np.float32))
    a, high, low = halves(np.array([value]))
    assert np.abs(a - high - low) <= 2**-17 * a


def test_the_bound_grows_with_the_steps() -> None:
    assert BF16X3_SPLIT < bf16x3_relative(1) < bf16x3_relative(2) < bf16x3_relative(144) < 2 * BF16X3_SPLIT
