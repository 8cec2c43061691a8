"""Decisions about kernels, remembered."""

from __future__ import annotations

import numpy as np
import torch

import lowbit
from lowbit.kernels.conv2d.selection import decide as deciding
from lowbit.lowering import lower
from lowbit.searching import remembered
from lowbit.searching.remembered import Remembered
from lowbit.targets import find_target
from tests import tiny


def _graph(weights: str = "i4"):  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    plan = lowbit.quantize(
        *tiny.network(), weights=weights, activations="u8", method="nearest", calibration=[torch.rand(2, 3, 8, 8)]
    )
    return plan.integer_graph()


def _counted(monkeypatch):  # type: ignore[no-untyped-def]
    asked: list[str] = []

    def decide(problem, weights, target, decisions=None):  # type: ignore[no-untyped-def]
        asked.append(problem.layer)
        return deciding.decide(problem, weights, target, decisions)

    monkeypatch.setattr(remembered, "decide", decide)
    return asked


def test_a_remembered_decision_is_the_decision(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    graph, target, asked, decider = _graph(), find_target("x86-64-v3"), _counted(monkeypatch), Remembered()
    plain = lower(graph, target)
    for _ in range(2):
        other = lower(graph, target, None, decider)
        assert [call.spec for call in other.calls] == [call.spec for call in plain.calls]
        assert (other.constants, other.tables) == (plain.constants, plain.tables)
        for mine, theirs in zip(other.weights, plain.weights, strict=True):
            assert np.array_equal(mine.values, theirs.values)
    assert len(asked) == len(set(asked)) > 0


def test_other_weights_types_and_targets_are_decided_anew(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    asked, decider = _counted(monkeypatch), Remembered()
    lower(_graph("i4"), find_target("x86-64-v3"), None, decider)
    layers = list(asked)
    lower(_graph("i3"), find_target("x86-64-v3"), None, decider)  # first and last layers keep 8 bits
    lower(_graph("i4"), find_target("raspberry-pi-4"), None, decider)
    assert asked == [*layers, "body", *layers]


def test_the_oldest_are_forgotten(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    graph, target, asked, decider = _graph(), find_target("x86-64-v3"), _counted(monkeypatch), Remembered(limit=0)
    lower(graph, target, None, decider)
    once = len(asked)
    lower(graph, target, None, decider)
    assert len(asked) == 2 * once
