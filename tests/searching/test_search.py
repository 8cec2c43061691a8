"""Whole searches on a network of three layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.errors import ConfigError
from lowbit.graph import interpret
from lowbit.graph.rebatch import rebatch
from lowbit.measure.size import bytes_on_disk
from lowbit.searching.api import search
from lowbit.searching.found import SearchResult
from lowbit.searching.run import complete
from lowbit.searching.space import SearchSpace
from tests.searching.networks import images, module

SPACE = SearchSpace("2..8", "4..8")


def run(**given: Any) -> SearchResult:
    x, labels = images()
    options: dict[str, Any] = {
        "calibration": [images(48, 2)[0][i : i + 1] for i in range(48)],
        "dataset": (x, labels),
        "space": SPACE,
        "strategy": "random",
        "trials": 6,
        "batch": 8,
        "threads": 1,
        "uniform": "none",
        "progress": False,
    }
    return search(module(), __import__("torch").from_numpy(x[:1]), **{**options, **given})


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return run(strategy="ilp", trials=8, constraints=["accuracy >= w8a8 - 20%"], uniform="diagonal")


def test_every_trial_has_its_metrics(result: SearchResult) -> None:
    found = result.to_json()
    json.dumps(found, allow_nan=False)
    assert len(found["trials"]) == 8
    for trial in found["trials"]:
        metrics = trial["metrics"]
        assert set(metrics) >= {"accuracy", "latency", "size", "average_bitwidth", "memory_density", "bit_operations", "energy"}
        assert metrics["memory_density"] == pytest.approx(32 / metrics["average_bitwidth"])
        assert 0 < metrics["latency"] < 100
        assert trial["layers"].keys() == {"stem", "body", "head"}
        assert trial["scaled"].keys() == {"accuracy", "latency", "size"}
    assert any(trial["front"] for trial in found["trials"])
    assert {row["name"] for row in found["uniform"]} >= {"w8a8", "w4a8", "w4a4"}
    assert len(found["hypervolume"]) == 8


def test_narrower_is_smaller(result: SearchResult) -> None:
    sizes = {row["name"]: row["metrics"]["size"] for row in result.to_json()["uniform"]}
    assert sizes["w8a8"] > sizes["w6a8"] > sizes["w4a8"] > sizes["w2a8"]


def test_a_plan_is_the_network_that_was_judged(result: SearchResult, tmp_path: Path) -> None:
    """Its accuracy and its size are those of the compiled and saved network."""
    x, labels = images()
    number = result.front[0]
    held = next(trial for trial in result.to_json()["trials"] if trial["number"] == number)
    plan = result.plan(number)
    net = lowbit.compile(module(), __import__("torch").from_numpy(x[:8]), plan=plan, threads=1)
    report = lowbit.evaluate(net, (x, labels), progress=False)
    assert report.outcomes.top1 == held["metrics"]["accuracy"]
    single = rebatch(plan.integer_graph(), 1)
    saved = lowbit.compile(single, threads=1)
    assert len(saved.section("weights.bin")) == held["metrics"]["size"]
    assert bytes_on_disk(saved.save(tmp_path / "net.lowbit")) > 0
    assert np.array_equal(saved(x[:1]), interpret(single, [x[:1]])[0])
    bits = {name: [int(text.lstrip("iub")) for text in types] for name, types in held["layers"].items()}
    for name, (weights, activations) in bits.items():
        params = {key: value for key, value in held["params"].items() if key.startswith(name)}
        assert params == {f"{name} weights": weights, f"{name} activations": activations}


def test_members_of_the_front_are_measured_whole(result: SearchResult) -> None:
    for trial in result.to_json()["trials"]:
        assert bool(trial["measured"]) == trial["front"]


def test_the_same_search_gives_the_same_study() -> None:
    first, second = (run(strategy="nsga2", objectives="accuracy,size", trials=10) for _ in range(2))
    values = [[(t.params, t.values) for t in complete(one.study)] for one in (first, second)]
    assert values[0] == values[1]


def test_a_study_on_disk_goes_on(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 's.db'}"
    run(storage=storage, objectives="accuracy,size", trials=3)
    again = run(storage=storage, objectives="accuracy,size", trials=5)
    whole = run(objectives="accuracy,size", trials=5)
    assert [t.params for t in complete(again.study)] == [t.params for t in complete(whole.study)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"space": SearchSpace("2..7", "4..8")},
            r"space: dimensions .*choices \[2, 3, 4, 5, 6, 7, 8\] there, \[2, 3, 4, 5, 6, 7\] here",
        ),
        ({"objectives": "accuracy"}, "objectives: without size"),
        ({"constraints": ["accuracy >= 0.5"]}, "constraints: with accuracy >= 0.5"),
        ({"dataset": images(32, 9)}, "data: "),
        ({"calibration": [images(16, 5)[0]]}, "calibration: "),
    ],
)
def test_another_search_is_refused_with_the_difference(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"storage": f"sqlite:///{tmp_path / 's.db'}", "objectives": "accuracy,size", "trials": 1}
    run(**given)
    with pytest.raises(ConfigError, match=message):
        run(**{**given, **change})


def test_workers_try_plans_at_once_and_count_together() -> None:
    result = run(workers=3, trials=9, objectives="accuracy,size")
    assert len(complete(result.study)) == 9
    assert result.complete


def test_a_weighted_sum_is_one_objective() -> None:
    result = run(weighted=True, objectives={"accuracy": 1.0, "average_bitwidth": 0.2}, trials=6)
    found = result.to_json()
    assert found["mode"] == "weighted"
    best = next(trial for trial in found["trials"] if trial["front"])
    score = {t["number"]: t["metrics"]["accuracy"] - 0.2 * t["metrics"]["average_bitwidth"] for t in found["trials"]}
    assert score[best["number"]] == max(score.values())
    assert result.study.best_value == pytest.approx(max(score.values()))


def test_no_plan_holds_to_an_impossible_constraint() -> None:
    from lowbit.searching.show import words

    result = run(constraints=["accuracy >= 1.5"], trials=3)
    assert result.front == []
    text = "\n".join(words(result.to_json()))
    assert "accuracy >= 1.5" in text
    with pytest.raises(ConfigError, match="no trial holds"):
        _ = result.best


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objectives": "acuracy"}, "did you mean accuracy"),
        ({"objectives": "top6"}, "no metric"),
        ({"strategy": "tpa"}, "no strategy"),
        ({"space": SearchSpace(layers=("convs",))}, "matches no layer"),
        ({"constraints": ["accuracy >= w9a8"]}, "constraint|uniform"),
        ({"objectives": "accuracy,instructions"}, "metric instructions: nothing counts them"),
        ({"strategy": "brute-force"}, "plans; at most"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(**change)


@pytest.mark.qemu
@pytest.mark.llvm
def test_latency_of_a_board_is_estimated_under_emulation() -> None:
    found = run(target="raspberry-pi-4", objectives="accuracy,latency,instructions", trials=2).to_json()
    for trial in found["trials"]:
        assert trial["metrics"]["instructions"] > 10_000
        assert 0 < trial["metrics"]["latency"] < 100
    assert "raspberry-pi-4" in found["machine"]


def test_five_classes_have_no_top5() -> None:
    from lowbit.searching.metrics import METRICS

    class Few:
        class outcomes:
            top5 = None
            top5_error = None
            classes = 4

    with pytest.raises(ConfigError, match="more than five"):
        METRICS["top5"].of(Few())  # type: ignore[arg-type]
