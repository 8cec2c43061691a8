"""The check that stands beside every speed."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.measure.output_check import check_outputs, dead_channels

RNG = np.random.default_rng(0)
GOOD = [RNG.standard_normal((1, 10)).astype(np.float32) for _ in range(4)]


def test_a_live_exact_network() -> None:
    check = check_outputs(GOOD, GOOD, oracle=GOOD[:2], layers={"conv": [RNG.integers(0, 9, (1, 3, 4, 4)) for _ in range(2)]})
    assert check.exact
    assert (check.max_error, check.top1_agreement, check.dead_channels, check.dead_layers) == (0.0, 1.0, 0, ())
    assert check.cosine == pytest.approx(1)
    assert check.correlation == pytest.approx(1)
    assert check.verdict == ""


def test_one_wrong_element_is_not_exact() -> None:
    wrong = [GOOD[0], GOOD[1].copy()]
    wrong[1][0, 3] = np.nextafter(wrong[1][0, 3], np.float32(9))
    check = check_outputs(GOOD, GOOD, oracle=wrong)
    assert check.exact is False
    assert check.verdict.startswith("WRONG: differs from the oracle")


def test_float_has_no_oracle_but_an_error() -> None:
    check = check_outputs([g + np.float32(0.5) for g in GOOD], GOOD)
    assert check.exact is None
    assert check.max_error == pytest.approx(0.5)
    assert check.dead_channels is None
    assert check.verdict == ""


def test_an_output_that_ignores_its_input_is_dead_whatever_its_cosine() -> None:
    reference = [np.full((1, 10), 5, np.float32) + g / 100 for g in GOOD]
    check = check_outputs([reference[0]] * 4, reference)
    assert check.cosine > 0.99
    assert check.correlation == 0
    assert check.constant
    assert check.verdict.startswith("DEAD: output")


def test_a_layer_without_a_living_channel_is_dead() -> None:
    layers = {"live": [RNG.integers(0, 9, (1, 2, 3, 3)) for _ in range(2)], "dead": [np.zeros((1, 5, 3, 3))] * 2}
    check = check_outputs(GOOD, GOOD, oracle=GOOD, layers=layers)
    assert (check.dead_channels, check.dead_layers) == (5, ("dead",))
    assert "dead" in check.verdict


def test_output_that_is_not_finite() -> None:
    check = check_outputs([g * np.float32(np.inf) for g in GOOD], GOOD)
    assert check.verdict.startswith("WRONG: output is not finite")


def test_dead_channels_counts_over_images_and_positions() -> None:
    a, b = np.zeros((1, 3, 2, 2)), np.zeros((1, 3, 2, 2))
    a[0, 1, 0, 0] = 1  # varies over positions
    b[0, 2] = 7  # varies over inputs only
    assert dead_channels([a, b]) == 1
    assert dead_channels([a]) == 2
    assert dead_channels([np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]])]) == 1  # linear layers too
