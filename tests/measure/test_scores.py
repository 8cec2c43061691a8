"""Scores against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lowbit.errors import InputError
from lowbit.measure.accuracy import agreement
from lowbit.measure.scores import Outcomes, compare, outcomes_of, per_class


def some(seed: int, n: int = 60, classes: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(-3, 4, (n, classes)).astype(np.float32), rng.integers(0, classes, n)


@given(st.integers(0, 1000))
def test_against_torch(seed: int) -> None:
    logits, labels = some(seed)
    found = outcomes_of(logits, labels)
    losses = F.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(labels), reduction="none").numpy()
    np.testing.assert_allclose(found.losses, losses, rtol=1e-12)
    assert found.loss == pytest.approx(losses.mean())
    assert found.loss_error == pytest.approx(losses.std() / math.sqrt(60))
    assert np.array_equal(found.predictions, logits.argmax(1))
    assert np.array_equal(found.ranks == 0, logits.argmax(1) == labels)  # equal entries too
    order = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    assert found.top5 == pytest.approx((order == labels[:, None]).any(1).mean())


def test_the_comparison_is_that_of_agreement() -> None:
    (logits, labels), (reference, _) = some(1), some(2)
    one, other = outcomes_of(logits, labels), outcomes_of(reference, labels)
    result, expected = compare(one, other), agreement(logits, reference, labels)
    assert result.difference == pytest.approx(expected.difference)
    assert result.difference_error == pytest.approx(expected.difference_error)
    assert result.agreement == expected.same
    assert one.top1_error == pytest.approx(expected.top1_error)
    d = one.losses - other.losses
    assert result.loss_difference == pytest.approx(d.mean())
    assert result.loss_difference_error == pytest.approx(d.std() / math.sqrt(60))


def test_batches_join() -> None:
    logits, labels = some(3)
    joined = Outcomes.joined([outcomes_of(logits[:11], labels[:11]), outcomes_of(logits[11:], labels[11:])])
    assert joined.to_json() == outcomes_of(logits, labels).to_json()


def test_what_is_not_finite_is_wrong() -> None:
    logits = np.zeros((3, 6), np.float32)
    logits[0, 2], logits[1, 1] = np.nan, np.inf
    found = outcomes_of(logits, np.array([0, 1, 0]))
    assert found.ranks.tolist() == [6, 6, 0]
    assert np.isnan(found.losses).tolist() == [True, True, False]


def test_five_classes_have_no_top_five() -> None:
    assert outcomes_of(np.zeros((2, 5)), np.array([0, 4])).top5 is None
    assert outcomes_of(np.zeros((2, 6)), np.array([0, 4])).top5 == 1.0
    assert outcomes_of(np.zeros((2, 6)), np.array([0, 5])).top5 == 0.5


def test_classes() -> None:
    labels = np.array([0, 0, 0, 2, 2])
    own = outcomes_of(np.eye(3)[[0, 1, 1, 2, 2]], labels)
    reference = outcomes_of(np.eye(3)[[0, 0, 2, 2, 1]], labels)
    zero, two = per_class(own, reference, ("zero", "one", "two"))
    assert (zero.label, zero.name, zero.count, zero.confused) == (0, "zero", 3, (1, 2))
    assert (zero.top1, zero.reference_top1) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert (two.name, two.top1, two.reference_top1, two.confused) == ("two", 1.0, 0.5, None)
    assert per_class(own)[0].reference_top1 is None


@pytest.mark.parametrize(("shape", "labels"), [((3,), 3), ((3, 4, 2), 3), ((3, 4), 2)])
def test_outputs_that_are_no_logits(shape: tuple[int, ...], labels: int) -> None:
    with pytest.raises(InputError, match=r"accuracy needs \(samples, classes\)"):
        outcomes_of(np.zeros(shape), np.zeros(labels, int))
    assert outcomes_of(np.zeros((3, 4, 1, 1)), np.zeros(3, int)).top1 == 1.0


def test_other_samples_are_not_compared() -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        compare(outcomes_of(np.zeros((2, 3)), np.array([0, 1])), outcomes_of(np.zeros((2, 3)), np.array([0, 2])))
