"""A whole network: its problems, its tuning, and that the tuned network computes the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit import progress
from lowbit.chosen_config import make_config
from lowbit.errors import ConfigError
from lowbit.graph import Graph
from lowbit.kernels.conv2d.selection.decide import Request
from lowbit.kernels.conv2d.selection.decision import Decision, decision_of
from lowbit.quantizer import quantized
from lowbit.targets import find_target
from lowbit.tracer import trace
from lowbit.tuning.database import user_database
from lowbit.tuning.measure import Measured
from lowbit.tuning.session import collect_problems, tune_graph
from lowbit.tuning.trial import Trial
from tests import tiny
from tests.tuning.problems import decision

TARGET = find_target("native")
LAYERS = {"stem", "body", "head"}


@pytest.fixture(scope="module")
def graph() -> Graph:
    model, example = tiny.network()
    config = make_config("i8", "u8")
    assert config is not None
    return quantized(trace(model, example, "tiny"), config, [example])


@pytest.fixture(autouse=True)
def _first_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_noticed", set())


def other_heights_are_faster(
    request: Request, decisions: Sequence[Decision], rounds: int, seconds: float
) -> tuple[Measured, list[Measured | None]]:
    """The model's choice takes 2 us; with another height of the tile it takes half of that."""
    height = decision_of(request.model).mr
    ratios = [0.9 if d.mr == height else 0.5 for d in decisions]
    return Measured(2000.0, 1.0), [Measured(2000.0 * ratio, ratio) for ratio in ratios]


def arrays() -> Iterator[np.ndarray]:
    numbers = np.random.default_rng(5)
    yield from (numbers.standard_normal((1, 3, 8, 8), np.float32) for _ in range(3))


def tuned_flags(network: lowbit.Compiled) -> dict[str, bool]:
    manifest = {e["name"]: e["tuned"] for e in network.manifest["layers"] if e["tuned"] is not None}
    operations = {o["layer"]: o["tuned"] for o in network._network.info["operations"] if "tuned" in o}
    assert manifest == operations
    return operations


def test_the_problems_of_a_network(graph: Graph) -> None:
    problems = collect_problems(graph, TARGET)
    assert {layer for problem in problems for layer in problem.layers} == LAYERS
    assert [problem.macs for problem in problems] == sorted((problem.macs for problem in problems), reverse=True)
    assert problems[0].request.macs == 64 * 16 * 16 * 9
    assert [problem.layers for problem in collect_problems(graph, TARGET, "st*")] == [("stem",)]
    with pytest.raises(ConfigError, match="'layer9' matches no layer that can be tuned; there are: stem, body, head"):
        collect_problems(graph, TARGET, "layer9")


def test_equal_convolutions_are_one_problem() -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(16, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU())
    x = torch.randn(1, 16, 6, 6)
    config = make_config("i8", "u8")
    assert config is not None
    problems = collect_problems(quantized(trace(model, x, "three"), config, [x]), TARGET)
    assert sum(len(problem.layers) for problem in problems) == 3
    assert max(len(problem.layers) for problem in problems) >= 2


@pytest.fixture
def tuned(graph: Graph) -> Any:
    return tune_graph(graph, TARGET, 2, 100.0, measure=other_heights_are_faster)


def test_the_report(tuned: Any, folder: Path) -> None:
    assert {layer for row in tuned.rows for layer in row.layers} == LAYERS
    assert tuned.database == user_database(TARGET).path
    assert tuned.database.is_relative_to(folder)
    assert (tuned.default_us, tuned.tuned_us) == (pytest.approx(6.0), pytest.approx(3.0, abs=0.9))
    assert tuned.gap == pytest.approx(100 * (tuned.default_us / tuned.tuned_us - 1))
    assert tuned.untuned == ()


def test_a_second_call_has_nothing_to_measure(tuned: Any, graph: Graph) -> None:
    again = tune_graph(graph, TARGET, 2, 100.0, measure=other_heights_are_faster)
    assert (again.rows, again.measured) == (tuned.rows, 0)
    assert tuned.measured > 0


def test_layers_that_time_did_not_reach_are_named(graph: Graph) -> None:
    report = tune_graph(graph, TARGET, 2, 1e-9, measure=other_heights_are_faster)
    assert set(report.untuned) == LAYERS
    assert (report.rows, report.gap) == ((), 0.0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seconds": 0.0}, "more than 0 seconds"),
        ({"seconds": float("nan")}, "more than 0 seconds"),
        ({"trials": 0}, "at least 1 trial"),
    ],
    ids=str,
)
def test_refusals(graph: Graph, change: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        tune_graph(graph, TARGET, 2, measure=other_heights_are_faster, **change)


def test_a_target_of_another_machine_is_refused(graph: Graph) -> None:
    from dataclasses import replace

    foreign = replace(TARGET, name="elsewhere", features=TARGET.features | {"time-travel"})
    with pytest.raises(ConfigError, match="cannot run elsewhere.*; tune on a machine that can"):
        tune_graph(graph, foreign, 2, measure=other_heights_are_faster)


def test_a_cache_that_cannot_be_written_is_refused_first(graph: Graph, folder: Path) -> None:
    folder.write_text("no folder")
    with pytest.raises(ConfigError, match=f"cannot write {folder}.*LOWBIT_CACHE"):
        tune_graph(graph, TARGET, 2, measure=other_heights_are_faster)


def test_a_tuned_network_computes_the_same_with_other_kernels(tuned: Any, graph: Graph, tmp_path: Path) -> None:
    untuned = lowbit.compile(graph, tuning=False, threads=2)
    first, second = lowbit.compile(graph, threads=2), lowbit.compile(graph, threads=2)
    assert tuned_flags(untuned) == dict.fromkeys(LAYERS, False)
    assert tuned_flags(first) == dict.fromkeys(LAYERS, True)
    kernels = [{e["name"]: e["kernel"] for e in network.manifest["layers"]} for network in (untuned, first)]
    assert kernels[0]["body"] != kernels[1]["body"]
    for x in arrays():
        np.testing.assert_array_equal(first(x), untuned(x))
    assert first.save(tmp_path / "a.lowbit").read_bytes() == second.save(tmp_path / "b.lowbit").read_bytes()


def test_tuning_can_be_off(tuned: Any, graph: Graph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOWBIT_TUNING", "off")
    off = lowbit.compile(graph).save(tmp_path / "off.lowbit").read_bytes()
    monkeypatch.setenv("LOWBIT_TUNING", "on")
    assert lowbit.compile(graph, tuning=False).save(tmp_path / "no.lowbit").read_bytes() == off
    assert lowbit.compile(graph).save(tmp_path / "on.lowbit").read_bytes() != off
    with pytest.raises(ConfigError, match="tuning is off"):
        lowbit.compile(graph, tune=True, tuning=False)


def test_compile_with_tune_measures_first(graph: Graph) -> None:
    network = lowbit.compile(graph, tune=1e-9, threads=1)
    assert "tune" in network.seconds
    assert tuned_flags(network) == dict.fromkeys(LAYERS, False)


def test_for_real(graph: Graph) -> None:
    report = lowbit.tune(graph, threads=1, seconds=60, trials=2, pattern="body")
    assert [row.layers for row in report.rows] == [("body",)]
    assert report.default_us > 0
    network = lowbit.compile(graph, threads=1)
    assert tuned_flags(network) == {"stem": False, "body": True, "head": False}
    plain = lowbit.compile(graph, threads=1, tuning=False)
    for x in arrays():
        np.testing.assert_array_equal(network(x), plain(x))


def test_untuned_convolutions_are_reported_once(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    lowbit.compile(graph, progress=False)
    lowbit.compile(graph)  # standard error is no terminal here
    assert capsys.readouterr().err == ""
    for _ in range(2):
        lowbit.compile(graph, progress=True)
    said = [line for line in capsys.readouterr().err.splitlines() if "untuned" in line]
    assert said == ["note: 3 of 3 convolutions run untuned (estimated); tune them with: lowbit tune, or compile(tune=True)"]


def test_the_report_counts_what_the_weights_refuse(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = collect_problems(graph, TARGET, "body")
    user_database(TARGET).append([Trial(problem.request.key, 2, decision(form="f32"), 0, 1.0, 0.5)])
    network = lowbit.compile(graph, progress=True)
    assert tuned_flags(network)["body"] is False
    assert "3 of 3 convolutions run untuned (estimated), 1 of them because their weights" in capsys.readouterr().err
