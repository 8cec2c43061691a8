"""The integers of plans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.errors import ConfigError
from lowbit.graph import interpret
from lowbit.methods import AdaRound
from lowbit.quantization.apply import apply
from lowbit.searching.numbers import Numbers
from lowbit.searching.space import Kind, Rule, SearchSpace
from tests.searching.networks import calibrated, images, traced

FAST = AdaRound(iterations=40, positions=512, batch=128)


def numbers(method: Any = "nearest", space: SearchSpace | None = None, whole: bool = False) -> Numbers:
    graph = traced()
    return Numbers(graph, calibrated(graph), (space or SearchSpace("2..8", "4..8")).of(graph), method, whole, None, False)


def plan(of: Numbers, weights: int, activations: int, **other: Any) -> dict[str, Any]:
    kinds = {Kind.WEIGHTS: weights, Kind.ACTIVATIONS: activations}
    found = {d.name: kinds[d.kind] for d in of.space.dimensions}
    return {**found, **{name.replace("_", " "): value for name, value in other.items()}}


def test_rounded_to_nearest_a_plan_is_what_quantize_gives() -> None:
    of = numbers()
    params = plan(of, 4, 6, body_weights=2, head_activations=8)
    got = of.plan(params).integer_graph()
    config = of.space.config(params)
    wanted = lowbit.quantize(of.graph, calibration=of.calibration, config=config, method="nearest").integer_graph()
    x = [images(8)[0]]
    assert np.array_equal(interpret(got, x)[0], interpret(wanted, x)[0])


def test_a_layer_has_the_weights_of_the_network_of_its_width(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    of = numbers(FAST)
    mixed = of.plan(plan(of, 3, 8, body_weights=2)).choice
    three, two = (of.plan(plan(of, bits, 8)).choice for bits in (3, 2))
    for name, wanted in (("stem", three), ("body", two), ("head", three)):
        assert np.array_equal(mixed.layers[name].weights.integers, wanted.layers[name].weights.integers)
        assert np.array_equal(mixed.layers[name].bias, wanted.layers[name].bias)
    nearest = numbers().plan(plan(of, 3, 8)).choice
    assert any(not np.array_equal(three.layers[n].weights.integers, nearest.layers[n].weights.integers) for n in three.layers)


def test_biases_mean_the_same_at_another_scale_of_the_input(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    of = numbers(FAST)
    wide, narrow = (of.plan(plan(of, 3, bits)).choice for bits in (8, 4))
    for node in (node for node in of.graph.nodes if node.name in wide.layers):
        units = [
            c.values[node.inputs[0]].scale.astype(float) * c.layers[node.name].weights.params.scale  # type: ignore[union-attr]
            for c in (wide, narrow)
        ]
        real = [c.layers[node.name].bias * unit for c, unit in zip((wide, narrow), units, strict=True)]
        assert np.abs(real[0] - real[1]).max() <= 0.5 * max(unit.max() for unit in units) * 1.01


def test_integers_are_found_once(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    first = numbers(FAST)
    wanted = first.plan(plan(first, 3, 8)).choice

    def fail(*_: Any) -> None:
        raise AssertionError("found again")

    monkeypatch.setattr(AdaRound, "layer", fail)
    again = numbers(FAST)
    got = again.plan(plan(again, 3, 8)).choice
    assert all(np.array_equal(got.layers[n].weights.integers, wanted.layers[n].weights.integers) for n in wanted.layers)


def test_a_plan_is_fitted_as_a_whole(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    of = numbers(FAST)
    uniform = plan(of, 3, 8)
    one, other = of.refit(uniform).choice, of.plan(uniform).choice
    assert all(np.array_equal(one.layers[n].weights.integers, other.layers[n].weights.integers) for n in one.layers)
    mixed = plan(of, 3, 8, body_weights=2)
    again = of.refit(mixed)
    assert [again.choice.layers[n].weights.params.qtype.bits for n in ("stem", "body", "head")] == [3, 2, 3]
    x = [images(8)[0]]
    graph = again.integer_graph()
    assert np.array_equal(lowbit.compile(graph)(*x), interpret(graph, x)[0])
    rounded = numbers()
    assert rounded.refit(mixed).choice.layers.keys() == again.choice.layers.keys()


def test_methods_that_change_the_network_come_first(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))

    def scaling(task: Any) -> Any:
        return replace(task, graph=task.graph.rebuild(task.graph.nodes))

    scaling.changes_network = True  # type: ignore[attr-defined]
    of = numbers([scaling, FAST])
    of.plan(plan(of, 3, 8))
    with pytest.raises(ConfigError, match="name equalization first"):
        numbers([FAST, scaling]).prepare()

    def shifting(task: Any) -> Any:
        return replace(scaling(task), shifted=task.graph)

    shifting.changes_network = True  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="channel_splitting shifts channels by steps of values, which plans"):
        numbers([shifting, FAST]).prepare()


def test_fixed_point_formats() -> None:
    space = SearchSpace([[8, 6], [4, 3]], [[8, 4], [6, 3]], rules=())
    space = replace(space, rules=(Rule("*", bias=[[8, 5], [3, 0]]),))
    of = numbers("nearest", space)
    params: dict[str, Any] = {d.name: d.texts[0] for d in of.space.dimensions}
    choice = of.plan(params).choice
    for node in (node for node in of.graph.nodes if node.name in choice.layers):
        weights, x = choice.layers[node.name].weights, choice.values[node.inputs[0]]
        assert x is not None
        assert (weights.params.scale == 2.0**-3).all()
        assert float(x.scale) == 2.0**-3
        assert (str(weights.params.qtype), str(x.qtype)) == ("i4", "i6")
        float_bias = of.graph.constants[node.inputs[2]]
        wanted = np.clip(np.rint(float_bias), -4, 3)  # three bits, none behind the point
        assert np.array_equal(choice.layers[node.name].bias * 2.0**-6, wanted)
    graph = apply(of.graph, choice)
    x8 = images(8)[0]
    assert np.array_equal(lowbit.compile(graph)(x8), interpret(graph, [x8])[0])


def test_formats_are_rounded_to_nearest_only() -> None:
    with pytest.raises(ConfigError, match="method nearest"):
        numbers("adaround", SearchSpace([[8, 4]], "8")).prepare()


def test_whole_plans_are_what_quantize_gives(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    of, by_width = numbers(FAST, whole=True), numbers(FAST)
    mixed = plan(of, 3, 8, body_weights=2)
    x = [images(8)[0]]

    def outputs(made: Any) -> np.ndarray:
        return interpret(made.integer_graph(), x)[0]

    for config, got in ((of.space.config(mixed), of.plan(mixed)), (of.space.uniform(3, 5), of.uniform(3, 5))):
        wanted = lowbit.quantize(of.graph, calibration=of.calibration, config=config, method=FAST)
        assert np.array_equal(outputs(got), outputs(wanted))
    assert np.array_equal(outputs(of.apart(mixed)), outputs(by_width.plan(mixed)))
    assert not np.array_equal(outputs(of.apart(mixed)), outputs(of.plan(mixed)))
    assert np.array_equal(outputs(numbers("nearest", whole=True).plan(mixed)), outputs(numbers().plan(mixed)))
