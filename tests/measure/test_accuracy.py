"""Accuracy figures against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.errors import InputError
from lowbit.measure.accuracy import agreement, cosine, response, standard_error, top1


def test_top1_and_agreement_by_hand() -> None:
    labels = np.array([0, 1, 2, 0])
    reference = np.eye(3)[[0, 1, 2, 1]]  # 3 of 4 right
    logits = np.eye(3)[[0, 1, 1, 1]]  # 2 of 4 right, 3 of 4 the same
    result = agreement(logits, reference, labels)
    assert (result.count, result.top1, result.reference_top1, result.same) == (4, 0.5, 0.75, 0.75)
    assert result.difference == -0.25
    d = np.array([0, 0, -1, 0])
    assert result.difference_error == pytest.approx(d.std() / 2)
    assert result.top1_error == pytest.approx(math.sqrt(0.25 / 4))
    assert result.reference_error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    assert top1(logits, labels) == 0.5


def test_identical_predictions_have_no_difference_error() -> None:
    logits = np.random.default_rng(0).standard_normal((50, 10))
    result = agreement(logits, logits, logits.argmax(1))
    assert (result.top1, result.same, result.difference_error) == (1.0, 1.0, 0.0)


@given(st.floats(0, 1), st.integers(1, 10_000))
def test_standard_error_is_largest_in_the_middle(share: float, count: int) -> None:
    assert 0 <= standard_error(share, count) <= standard_error(0.5, count)


def test_cosine() -> None:
    a = np.array([3.0, 4.0])
    assert cosine(a, 2 * a) == pytest.approx(1)
    assert cosine(a, -a) == pytest.approx(-1)
    assert cosine(a, np.array([4.0, -3.0])) == pytest.approx(0)
    assert cosine(a, np.zeros(2)) == 0
    assert cosine(a, np.array([np.nan, 1])) == 0
    assert cosine(a.astype(np.float32) * 1e30, a.astype(np.float32) * 1e30) == pytest.approx(1)  # no overflow


def test_response_is_blind_to_what_all_inputs_share() -> None:
    outputs = np.random.default_rng(1).standard_normal((4, 10))
    assert np.allclose(response(outputs + 100), response(outputs))
    assert not response(np.tile(outputs[:1], (4, 1))).any()


@pytest.mark.parametrize(
    ("logits", "reference", "labels"),
    [((3, 4), (3, 5), 3), ((3, 4), (3, 4), 2), ((0, 4), (0, 4), 0)],
)
def test_shapes_that_do_not_belong_together(logits: tuple[int, int], reference: tuple[int, int], labels: int) -> None:
    with pytest.raises(InputError, match="cannot compare logits"):
        agreement(np.zeros(logits), np.zeros(reference), np.zeros(labels, int))
