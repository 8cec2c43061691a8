from __future__ import annotations

import numpy as np
import pytest
import torch

from lowbit.fake.operations import _logarithm
from lowbit.graph.logarithm import FRACTION_BITS, logarithm

POWERS = np.concatenate([2**k + np.arange(-3, 4) for k in range(3, 31)])
RANDOM = np.random.default_rng(0).integers(1, 1 << 30, 10000)
NUMBERS = np.unique(np.concatenate([np.arange(1, 1 << 14), POWERS, RANDOM]).clip(1, 1 << 30))


def test_is_within_its_bound() -> None:
    exact = 2.0**FRACTION_BITS * np.log(NUMBERS.astype(np.float64))
    error = np.abs(logarithm(NUMBERS) - exact)
    assert (error <= np.log2(NUMBERS) / 2 + 3.125).all()
    assert error.max() > 0.25  # it is no copy of the exact one


def test_is_monotone_to_a_unit() -> None:
    assert (np.diff(logarithm(NUMBERS)) >= -1).all()


@pytest.mark.parametrize("exponent", [0, 1, 10, 30])
def test_is_whole_multiples_of_one_logarithm_at_powers_of_two(exponent: int) -> None:
    assert logarithm(np.array([1 << exponent]))[0] == exponent * logarithm(np.array([2]))[0]


def test_equals_the_one_in_torch() -> None:
    assert np.array_equal(_logarithm(torch.from_numpy(NUMBERS)).numpy(), logarithm(NUMBERS))
