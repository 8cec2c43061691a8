"""Every small network of tests/frontend/cases.py, compiled, equals the oracle: at 8 bits and at one other width."""

from __future__ import annotations

import pytest

from tests.end_to_end.check import agrees, build
from tests.frontend.cases import CASES, case

OTHERS = (
    "1/int1", "2/int2", "3/int3", "4/int4", "5/int5", "6/int6", "7/int7", "16/int16", "1/int8", "3/int8", "4/int8", "5/int16",
    "w4a8", "w8a4", "w1a8", "w8a1", "w2a2", "w3a16", "w16a4",
)  # fmt: skip
"""A case meets the one that the letters of its name add up to: each is met by several cases, always by the same."""


def other_width(name: str) -> str:
    return OTHERS[sum(map(ord, name)) % len(OTHERS)]


def test_every_width_is_met_by_several_cases() -> None:
    met = [other_width(name) for name in CASES]
    assert min(met.count(width) for width in OTHERS) >= 4


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("width", ["8/int8", "other"])
def test_equals_the_oracle(name: str, width: str) -> None:
    model, example = case(name)
    network = build(model, example, config=other_width(name) if width == "other" else width)
    inputs = tuple(x.numpy() for x in example)
    agrees(network, *inputs)
    agrees(network, *(100 * x for x in inputs))  # far outside the calibrated ranges: every clamp is met
