"""What is asked of a result: who is best, who is on the front, what a staircase is."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.errors import ConfigError
from lowbit.searching.show.pictures import staircase
from lowbit.searching.show.shapes import axes, best, bits, cleaned, front, layer_names, trial_of, value
from tests.searching.show.samples import OBJECTIVES, study


def numbers(trials: list[Any]) -> list[int]:
    return [trial["number"] for trial in trials]


def test_a_long_front_is_shown_from_end_to_end() -> None:
    result = study(objectives=3, trials=60)
    ahead = numbers(front(result))
    assert len(ahead) > 6
    shown = numbers(best(result, 5))
    assert len(set(shown)) == 5
    assert (shown[0], shown[-1]) == (ahead[0], ahead[-1])
    accuracies = [trial["metrics"]["accuracy"] for trial in best(result, 5)]
    assert accuracies == sorted(accuracies, reverse=True)


def test_a_short_front_is_followed_by_its_ties_and_by_nobody_else() -> None:
    result = study(trials=12)
    ahead = front(result)
    outside = next(t for t in result["trials"] if t["state"] == "complete" and t["feasible"] and not t["front"])
    for trial in result["trials"]:
        trial["ties"] = []
    ahead[0]["ties"] = [outside["number"]]
    assert numbers(best(result, 50)) == [*numbers(ahead), outside["number"]]


@pytest.mark.parametrize("given_value", [False, True])
def test_weighted_trials_stand_by_their_sum(given_value: bool) -> None:
    result = study(mode="weighted", objectives=2)
    done = [t for t in result["trials"] if t["state"] == "complete" and t["feasible"]]
    if given_value:
        for trial in done:
            trial["value"] = -trial["number"]
        assert numbers(best(result, 3)) == sorted(numbers(done))[:3]
    else:
        first = best(result, 1)[0]
        expected = first["metrics"]["accuracy"] - 0.1 * first["metrics"]["latency"]
        assert value(result, first) == pytest.approx(expected)
        assert all(expected >= s - 1e-12 for t in done if (s := value(result, t)) is not None)


def test_without_a_feasible_trial_the_closest_comes_first() -> None:
    result = study(constraint=0.99)
    done = [t for t in result["trials"] if t["state"] == "complete"]
    most = max(t["metrics"]["accuracy"] for t in done)
    assert best(result, 3)[0]["metrics"]["accuracy"] == most


def test_fewer_missed_constraints_come_before_small_misses() -> None:
    result = study(constraint=0.99, trials=8)
    result["constraints"].append("size <= 1")
    for trial in result["trials"]:
        if trial["state"] == "complete":
            trial["constraints"]["size <= 1"] = 1e-6
    result["trials"][5]["constraints"] = {"accuracy >= 0.99": 0.5, "size <= 1": -1}
    assert best(result, 1)[0]["number"] == 5


def test_the_software_objective_goes_upwards() -> None:
    result = study()
    assert axes(result) == ("latency", "accuracy")
    result["objectives"] = [OBJECTIVES[1], OBJECTIVES[0]]
    assert axes(result) == ("latency", "accuracy")
    result["objectives"] = [OBJECTIVES[2], OBJECTIVES[1]]
    assert axes(result) == ("latency", "size")
    assert axes(study(objectives=1)) == ("latency", "accuracy")
    lonely = study(objectives=1) | {"metrics": {"accuracy": {"kind": "software"}}}
    assert axes(lonely) == ("number", "accuracy")


def test_types_and_trials_that_are_not_there_are_errors() -> None:
    assert [bits(t) for t in ("i4", "u8", "f32")] == [4, 8, 32]
    with pytest.raises(ConfigError, match="'int' names no width"):
        bits("int")
    with pytest.raises(ConfigError, match="has no trial 99; it has 40"):
        trial_of(study(), 99)
    with pytest.raises(ConfigError, match="no trial is complete"):
        trial_of(study(trials=0), None)


def test_layers_of_trials_that_the_space_lacks_are_kept() -> None:
    result = study(trials=3)
    result["trials"][0]["layers"]["extra"] = ["i8", "u8"]
    assert layer_names(result)[-1] == "extra"
    assert len(layer_names(result)) == 7


def test_what_json_lacks_becomes_nothing() -> None:
    assert cleaned({"a": [float("nan"), 1, (float("inf"), "x")]}) == {"a": [None, 1, [None, "x"]]}


POINTS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(POINTS, st.sampled_from(["maximize", "minimize"]), st.sampled_from(["maximize", "minimize"]))
def test_the_staircase_turns_at_exactly_the_points_nobody_betters(points: list[tuple[int, int]], across: str, up: str) -> None:
    result = {
        "objectives": [{"name": "x", "direction": across}, {"name": "y", "direction": up}],
        "metrics": {},
        "trials": [{"number": i, "state": "complete", "metrics": {"x": x, "y": y}} for i, (x, y) in enumerate(points)],
    }
    h, v = (1 if across == "maximize" else -1), (1 if up == "maximize" else -1)
    ahead = {(x, y) for x, y in points if not any(h * a >= h * x and v * b >= v * y and (a, b) != (x, y) for a, b in points)}
    corners = staircase(result, "x", "y")
    assert {c for c in corners if c in set(points)} >= ahead
    assert set(corners[0::2]) == ahead  # between two of them lies one inner corner
    for (x, y), (a, b) in pairwise(corners):
        assert x == a or y == b  # no slopes
        assert h * a <= h * x  # it goes to ever worse x ...
        assert v * b >= v * y  # ... and ever better y


def test_of_a_weighted_study_the_front_is_its_best_value() -> None:
    result = study(mode="weighted")
    for trial in result["trials"]:
        trial["front"] = True
    assert numbers(front(result)) == numbers(best(result, 1))
    for trial in result["trials"]:
        trial |= {"value": 1.0, "front": False}
    assert len(front(result)) == 37
