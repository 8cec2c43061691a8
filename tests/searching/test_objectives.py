"""Objectives, constraints, metrics by name."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.errors import ConfigError
from lowbit.searching.metrics import METRICS, find_metric
from lowbit.searching.objectives import parse_bound, parse_objectives, weighted_sum


def test_objectives_have_a_direction_and_a_scale() -> None:
    accuracy, latency = parse_objectives("accuracy, latency:0.2")
    assert (accuracy.maximize, accuracy.scale) == (True, 1.0)
    assert (latency.maximize, latency.scale) == (False, 0.2)
    (loss,) = parse_objectives({"loss": {"scale": 2, "direction": "maximize"}})
    assert (loss.maximize, loss.scale) == (True, 2.0)
    assert weighted_sum([accuracy, latency], {"accuracy": 0.9, "latency": 2.0}) == pytest.approx(0.9 - 0.4)


@pytest.mark.parametrize(
    "given", ["", "accuracy,accuracy", "accuracy:0", "accuracy:x", {"loss": {"scales": 1}}, {"loss": {"direction": "up"}}]
)
def test_wrong_objectives(given: Any) -> None:
    with pytest.raises(ConfigError):
        parse_objectives(given)


def test_a_misspelt_metric_lists_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match=r"no metric 'latancy'; known: accuracy, top5, loss, latency.*did you mean latency"):
        parse_objectives("accuracy,latancy")


@pytest.mark.parametrize(
    ("text", "limit", "value", "violation"),
    [
        ("accuracy >= 0.91", 0.91, 0.9, 0.01),
        ("accuracy>=91%", 0.91, 0.95, -0.04),
        ("latency <= 1.5e1", 15.0, 16.0, 1.0),
        ("accuracy >= w8a8 - 0.5%", 0.895, 0.9, -0.005),
        ("accuracy >= float", 0.95, 0.9, 0.05),
        ("size <= w4a8 + 100", 1100.0, 1000.0, -100.0),
    ],
)
def test_constraints(text: str, limit: float, value: float, violation: float) -> None:
    networks = {"float": {"accuracy": 0.95}, "w8a8": {"accuracy": 0.9}, "w4a8": {"size": 1000.0}}
    constraint = parse_bound(text).resolved(networks.__getitem__)
    assert constraint.limit == pytest.approx(limit)
    assert constraint.violation({constraint.metric.name: value}) == pytest.approx(violation)


@pytest.mark.parametrize(
    "text", ["accuracy > 0.9", "accuracy", "acc >= 1", "size <= float", "accuracy >= w8a8 * 2", "accuracy >= 1..2"]
)
def test_wrong_constraints(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_bound(text)


def test_every_metric_has_a_direction_and_words() -> None:
    for name, metric in METRICS.items():
        assert find_metric(name) is metric
        assert metric.what
        assert metric.direction in ("maximize", "minimize")
