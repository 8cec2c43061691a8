"""What a method does follows from counted work; the clock only guards."""

from __future__ import annotations

import time

import pytest

from lowbit.methods import AdaRound, Auto, begin
from lowbit.methods.work import RATE, multiplications, rounding_within
from lowbit.quantization import parse_config
from lowbit.quantization.choice_store import choice_to_dict


def test_multiplications_are_counted(graph) -> None:
    stem, body, depthwise, grouped, head = 12 * 64 * 27, 12 * 64 * 108, 12 * 16 * 9, 16 * 16 * 6, 6 * 16
    assert multiplications(graph) == stem + body + depthwise + grouped + head


def test_iterations_follow_from_the_work(graph, calibration) -> None:
    task, method = begin(graph, calibration, parse_config("w4a8")), AdaRound()
    weights = 12 * 27 + 12 * 108 + 12 * 9 + 16 * 6 + 6 * 16
    walks = 6 * 2 * 64 * multiplications(graph) / RATE
    assert rounding_within(task, 1e6, method) == method
    assert rounding_within(task, walks + (300 * 2 * 1024 * weights + 1) / RATE, method).iterations == 300
    assert rounding_within(task, 0.0, method).iterations == 50


def test_a_slow_machine_gets_the_same_integers(graph, calibration, monkeypatch) -> None:
    def found() -> dict:
        done = Auto(seconds=0.3, patience=1e6)(begin(graph, calibration, parse_config("w4a8")))
        structure, arrays = choice_to_dict(done.choice)
        return {"structure": structure, **{name: value.tolist() for name, value in arrays.items()}}

    fast, clock = found(), time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: 50 * clock())
    assert found() == fast


@pytest.mark.parametrize("patience", [1e-6, 0.02])
def test_the_log_says_what_the_clock_cut_short(graph, calibration, patience) -> None:
    done = Auto(seconds=60.0, patience=patience)(begin(graph, calibration, parse_config("w4a8")))
    said = "\n".join(map(str, done.log))
    assert "left out: the time was over" in said or "cut short by the clock" in said
