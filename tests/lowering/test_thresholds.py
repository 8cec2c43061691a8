"""Results of two values without a multiplication: the least accumulator that gives the greater one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lowbit
from lowbit.graph.interpreter import interpret
from lowbit.lowering.convolution import least_accumulators
from lowbit.numerics.requantize import requantize
from tests.tiny import network


@given(st.lists(st.floats(2**-21, 100, width=32), min_size=1, max_size=8), st.integers(0, 3))
def test_everything_from_the_threshold_on_and_nothing_below(multipliers: list[float], result: int) -> None:
    factors = np.array(multipliers, np.float32)
    least = least_accumulators(factors, result)
    assert least is not None
    around = least[:, None] + np.array([-1000, -2, -1, 0, 1, 2, 1000])
    stored = requantize(around, factors[:, None], result - 1, result, 0) == result
    assert (stored == (around >= least[:, None])).all()


def test_a_tie_goes_to_the_even_result() -> None:
    half = np.array([0.5, 0.25], np.float32)
    assert least_accumulators(half, 1).tolist() == [2, 3]  # rint(0.5) = 0
    assert least_accumulators(half, 2).tolist() == [3, 6]  # rint(1.5) = 2


@pytest.mark.parametrize("factor", [0.0, -1.0, 2.0**-26, np.nan])
def test_no_threshold_where_there_is_none_in_reach(factor: float) -> None:
    assert least_accumulators(np.array([1.0, factor], np.float32), 1) is None


@pytest.mark.parametrize("activations", ["u1", "i2"])
def test_layers_of_two_results_compare(activations: str) -> None:
    """The stem has two results; the body has a residual, whose values shift the threshold."""
    model, example = network()
    compiled = lowbit.compile(model, example, weights="i4", activations=activations, first_last_bits=None)
    signs = {layer["name"]: layer["spec"]["sign"] for layer in compiled.manifest["layers"] if layer["spec"]["kind"] == "conv2d"}
    assert list(signs.values()) == [activations == "u1", False, False]
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal(example.shape).astype(np.float32)
        np.testing.assert_array_equal(compiled(x), interpret(compiled.graph(), [x])[0])
