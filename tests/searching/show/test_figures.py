"""Numbers as text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.searching.show.figures import amount, decimals, figure, plain


@pytest.mark.parametrize(
    ("number", "error", "unit", "text"),
    [
        (0.91744, 0.0081, "", "0.917 ± 0.008"),
        (0.91744, 0.0123, "", "0.917 ± 0.012"),
        (1.2112, 0.01, "ms", "1.211 ± 0.010 ms"),
        (1234.6, 31.0, "us", "1,235 ± 31 us"),
        (1234567, None, "B", "1,234,567 B"),
        (0.5, 0, "", "0.5"),
        (None, 0.1, "ms", "-"),
        (float("nan"), None, "", "-"),
        (float("inf"), None, "", "-"),
        (0.25, float("nan"), "", "0.25"),
    ],
)
def test_digits_follow_the_error(number: Any, error: Any, unit: str, text: str) -> None:
    assert figure(number, error, unit) == text


def test_whole_numbers_of_any_length() -> None:
    assert amount(123_456_789) == "123,456,789"
    assert amount(7**100) == "3.2e+84"
    assert amount(10**20_000) == "1.0e+20000"
    assert amount(-(10**40)) == "-1.0e+40"
    assert plain(10**400) == "1.0e+400"


@given(st.floats(1e-9, 1e6))
def test_an_error_keeps_its_first_digit(error: float) -> None:
    shown = float(f"{error:.{decimals(error)}f}")
    assert abs(shown - error) <= 0.5 * error


@given(st.floats(-1e300, 1e300))
def test_plain_numbers_keep_four_digits(number: float) -> None:
    text = plain(number).replace(",", "")
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?", text)
    assert float(text) == pytest.approx(number, rel=6e-4, abs=1e-300)
