"""What holds for every method: its numbers compile, equal the oracle, obey the configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import CalibrationError, ChoiceError, ConfigError, UnsupportedOperation
from lowbit.graph import interpret
from lowbit.graph.ops import LAYERS
from lowbit.graph.rebatch import mixes_rows
from lowbit.methods import (
    METHODS,
    ActivationEqualization,
    AdaRound,
    Auto,
    BatchNormReestimation,
    Best,
    BiasCorrection,
    BlockReconstruction,
    ChannelSplitting,
    CoordinateDescent,
    Distillation,
    Equalization,
    FewSamples,
    Gptq,
    Nearest,
    QuantizationPlan,
    Ranges,
    begin,
    method_of,
)
from lowbit.methods.auto import LEAST_ROWS
from lowbit.methods.judge import Judge, float_outputs, integer_outputs
from lowbit.methods.simulate import run_node
from lowbit.methods.task import split_rows
from lowbit.methods.walk import float_values
from lowbit.quantization import Choice, apply, calibrate, choose, parse_config
from lowbit.quantization.choice_store import choice_to_dict
from tests.methods.conftest import module, rows

QUICK = {
    "adaround": AdaRound(iterations=150, batch=128, positions=1024),
    "activation_equalization": ActivationEqualization(),
    "auto": Auto(seconds=3.0),
    "batch_norm": BatchNormReestimation(),
    "best": Best(),
    "bias_correction": BiasCorrection(),
    "blocks": BlockReconstruction(iterations=40, batch=16),
    "channel_splitting": ChannelSplitting(),
    "coordinate_descent": CoordinateDescent(positions=2048),
    "distillation": Distillation(iterations=40, batch=16, checks=2),
    "equalization": Equalization(),
    "few_samples": FewSamples(
        Distillation(iterations=80, batch=16, rate=5e-3), AdaRound(iterations=150, batch=128, positions=1024), weights_per_row=6.0
    ),
    "gptq": Gptq(positions=2048),
    "ranges": Ranges(),
    "nearest": Nearest(),
}
"""Name -> the method with hyper-parameters for a test."""


def test_every_method_is_tested() -> None:
    assert QUICK.keys() == METHODS.keys()


def same(a, b) -> bool:
    (one, left), (other, right) = choice_to_dict(a), choice_to_dict(b)
    return one == other and left.keys() == right.keys() and all(np.array_equal(left[n], right[n]) for n in left)


@pytest.mark.parametrize("config", ["w4a8", "w2a4", "w1a2"])
@pytest.mark.parametrize("name", [name for name in QUICK if name != "best"])
def test_every_plan_compiles_and_equals_the_oracle(name: str, config: str, graph, calibration, example) -> None:
    plan = lowbit.quantize(graph, calibration=calibration, config=config, method=QUICK[name])
    network = lowbit.compile(module(), example, plan=plan, tuning=False)
    x = rows(1, seed=5)
    np.testing.assert_array_equal(network(x), interpret(plan.integer_graph(), [x])[0])


@pytest.mark.parametrize("name", [name for name in QUICK if name != "best"])
def test_methods_obey_overrides(name: str, graph, calibration) -> None:
    layers = {"body": "i8/u8", "type:depthwise": "i3"}
    plan = lowbit.quantize(graph, calibration=calibration, weights="i4", activations="u6", layers=layers, method=QUICK[name])
    bits = {name: numbers.weights.params.qtype.bits for name, numbers in plan.choice.layers.items()}
    assert bits == {"stem": 8, "body": 8, "depthwise": 3, "grouped": 4, "head": 8}
    assert plan.choice.values["stem"].qtype.bits == 8


def test_nearest_is_what_choose_gives(graph, calibration) -> None:
    plan = lowbit.quantize(graph, calibration=calibration, config="w3a5", method="nearest")
    assert same(plan.choice, choose(graph, calibration, parse_config("w3a5")))
    assert plan.log == ()


@pytest.mark.parametrize(("count", "ranged"), [(7, False), (LEAST_ROWS - 1, True)])
def test_auto_is_nearest_with_few_rows_which_choose_ranges_where_they_are_some(graph, count, ranged) -> None:
    few, config = calibrate(graph, [rows(count)]), parse_config("w2a4")
    plan = lowbit.quantize(graph, calibration=few, config=config)
    task = begin(graph, few, config)
    wanted = Ranges()(dataclasses.replace(task, fit=few.samples)) if ranged else task
    assert same(plan.choice, wanted.choice)
    assert [step.method for step in plan.log] == (["ranges", "auto"] if ranged else ["auto"])
    assert f"nearest: {count} calibration rows were kept, 32 are needed" in str(plan.log[-1])


def test_auto_is_never_worse_on_the_rows_that_judge(graph, calibration) -> None:
    plan = lowbit.quantize(graph, calibration=calibration, config="w2a8", method=QUICK["auto"])
    last = plan.log[-1]
    judge = Judge.of(graph, split_rows(calibration.samples)[1])
    assert last.before == judge.error(apply(graph, choose(graph, calibration, parse_config("w2a8"))))
    assert last.after == judge.error(plan.integer_graph()) < last.before


def test_best_takes_all_of_few_rows(graph, calibration) -> None:
    judged = lowbit.quantize(graph, calibration=calibration, config="w8a3", method=Best(all_below=96))
    again = lowbit.quantize(graph, calibration=calibration, config="w8a3", method=Best())
    first, last = again.log[-2:]
    assert (first.before, first.after) == (judged.log[-1].before, judged.log[-1].after)
    assert last.what == "the same on all 96 rows, those that judged among them"
    assert not same(judged.choice, again.choice)


def test_methods_without_samples_are_refused(graph) -> None:
    none = calibrate(graph, [rows(40)], keep=0)
    with pytest.raises(CalibrationError, match="AdaRound fits calibration samples, and none were kept"):
        lowbit.quantize(graph, calibration=none, config="w4a8", method="adaround")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("magic", "no method 'magic'; known: auto, best, nearest, bias_correction"),
        (7, "a method is a name .*not 7"),
        (AdaRound, "a method is a name"),
        ([], "not \\[\\]"),
    ],
)
def test_unknown_methods(given, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        method_of(given)


@pytest.mark.parametrize("seconds", [0, -1.0, "3", True])
def test_seconds_are_a_positive_number(graph, calibration, seconds) -> None:
    with pytest.raises(ConfigError, match="seconds is what methods may take"):
        lowbit.quantize(graph, calibration=calibration, config="w4a8", seconds=seconds)


def test_float_configurations_have_no_plan(graph, calibration) -> None:
    with pytest.raises(ConfigError, match="nothing to quantize"):
        lowbit.quantize(graph, calibration=calibration, config="fp32")


def test_plans_are_saved_and_loaded(graph, calibration, tmp_path: Path) -> None:
    layers = {"body": "i8/u8", "type:depthwise": "i3"}
    made = lowbit.quantize(
        graph,
        calibration=calibration,
        weights="i4",
        activations="u8",
        layers=layers,
        granularity="per_group:4",
        method=QUICK["adaround"],
    )
    made.save(tmp_path / "plan")
    read = QuantizationPlan.load(tmp_path / "plan")
    assert same(made.choice, read.choice)
    assert (read.config, read.source, read.log) == (made.config, made.source, made.log)
    x = rows(1)
    np.testing.assert_array_equal(interpret(read.integer_graph(), [x])[0], interpret(made.integer_graph(), [x])[0])


@pytest.mark.parametrize("content", [None, b"", b"no plan", b"\x02\0\0\0\0\0\0\0{}"])
def test_what_is_no_plan(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "plan"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="does not exist" if content is None else "is no quantization plan"):
        QuantizationPlan.load(path)


def test_a_plan_serves_other_batch_sizes_and_no_other_network(graph, calibration) -> None:
    import torch

    plan = lowbit.quantize(graph, calibration=calibration, config="w4a8", method="nearest")
    x = rows(3)
    network = lowbit.compile(module(), torch.from_numpy(x), plan=plan, tuning=False)
    one = [interpret(plan.integer_graph(), [x[i : i + 1]])[0] for i in range(3)]
    np.testing.assert_array_equal(network(x), np.concatenate(one))
    other = module()
    other.stem.weight.data[0, 0, 0, 0] += 1
    with pytest.raises(ChoiceError, match="this plan was made for another network"):
        lowbit.compile(other, torch.from_numpy(x), plan=plan)
    with pytest.raises(ConfigError, match="give either plan or"):
        lowbit.compile(other, torch.from_numpy(x), plan=plan, config="w4a8")


def test_the_judge_knows_logits(graph, calibration) -> None:
    samples = (rows(7, seed=2),)
    judge = Judge.of(graph, samples)
    integer = apply(graph, choose(graph, calibration, parse_config("8/int8")))
    got = np.concatenate([interpret(integer, [x[None]])[0] for x in samples[0]])
    np.testing.assert_array_equal(integer_outputs(integer, samples)[0], got)
    p, q = (
        np.exp(y.astype(np.float64)) / np.exp(y.astype(np.float64)).sum(1, keepdims=True)
        for y in (float_outputs(graph, samples)[0], got)
    )
    assert judge.logits
    assert judge.error(integer) == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-6)
    plain = dataclasses.replace(judge, logits=False)
    wanted = judge.wanted[0].astype(np.float64)
    assert plain.error(integer) == pytest.approx(((got - wanted) ** 2).sum() / ((wanted - wanted.mean(0)) ** 2).sum(), rel=1e-6)


def test_layers_come_nearer_to_float(graph, calibration) -> None:
    task = begin(graph, calibration, parse_config("w3a8"))
    judge = Judge.of(graph, task.held)
    after = QUICK["adaround"](task)
    assert judge.error(apply(graph, after.choice)) < 0.8 * judge.error(apply(graph, task.choice))
    assert any(
        not np.array_equal(after.choice.layers[n.name].weights.integers, task.choice.layers[n.name].weights.integers)
        for n in graph.nodes
        if n.op in LAYERS
    )


class RowsMeet(torch.nn.Module):
    """Attention over tokens, whose axis comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = torch.nn.Conv2d(3, 8, 2, 2), torch.nn.MultiheadAttention(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).permute(2, 0, 1)
        return self.mix(x, x, x, need_weights=False)[0].mean(0)


def heavy_tails(rows: int) -> np.ndarray:
    """Pictures in which one number of a thousand is fifty times the others."""
    draw = np.random.default_rng(4)
    x = draw.normal(size=(rows, 3, 8, 8))
    return np.where(draw.random(x.shape) < 1e-3, 50 * x, x).astype(np.float32)


def test_ranges_take_the_observer_whose_outputs_are_nearest(graph) -> None:
    calibration = calibrate(graph, [(heavy_tails(96),)])
    task, config = begin(graph, calibration, parse_config("8/int8")), parse_config("8/int8")
    judge = Judge.of(graph, task.fit)
    after = Ranges()(task)
    configs = {each: dataclasses.replace(config, observer=each[0], percentile=each[1]) for each in Ranges().observers}
    choices = {each: choose(graph, calibration, other) for each, other in configs.items()}
    first = judge.distances(integer_outputs(apply(graph, task.choice), judge.samples))
    errors = {each: judge.distances(integer_outputs(apply(graph, choice), judge.samples)) for each, choice in choices.items()}
    lower = [each for each in errors if errors[each].mean() <= 0.8 * first.mean()]
    best = min(lower, key=lambda each: np.log(errors[each]).mean())
    assert (after.config.observer, after.config.percentile) == best
    assert choice_to_dict(after.choice)[0] == choice_to_dict(choices[best])[0]
    assert np.log(errors[best] / first).mean() < np.log(0.8)
    assert after.log[-1].what.startswith(best[0])
    assert Ranges(gain=1e-3)(task).config == task.config  # nothing is that much better
    assert choice_to_dict(Ranges(gain=1e-3)(task).choice)[0] == choice_to_dict(task.choice)[0]


def test_ranges_take_another_observer_only_where_both_means_fall(graph) -> None:
    calibration = calibrate(graph, [(rows(24),)])
    task = dataclasses.replace(begin(graph, calibration, parse_config("w8a4")), fit=calibration.samples)
    found = {}
    for observer, share in (("auto", 99.99), *Ranges().observers):
        config = dataclasses.replace(task.config, observer=observer, percentile=share)
        found[observer, share] = choose(graph, calibration, config)
    judge = Judge.of(graph, task.fit)
    first, *others = (judge.distances(integer_outputs(apply(graph, each), judge.samples)) for each in found.values())
    better = [x for x in others if x.mean() <= 0.8 * first.mean() and np.log(x / first).mean() <= np.log(0.8)]
    assert (Ranges()(task).config.observer == "auto") == (not better)


@pytest.mark.parametrize("given", [{"observer": "minmax"}, {"scale": "fixed:3"}])
def test_ranges_leave_what_the_configuration_says(graph, given) -> None:
    config = dataclasses.replace(parse_config("8/int8"), **given)
    task = begin(graph, calibrate(graph, [(heavy_tails(96),)]), config)
    after = Ranges()(task)
    assert after.choice is task.choice
    assert after.config is config
    assert after.log[-1].what == "those of the configuration"


def changed_layers(before: Choice, after: Choice) -> set[str]:
    """Layers with other integers."""
    pairs = {name: (before.layers[name], after.layers[name]) for name in before.layers}
    return {
        name
        for name, (a, b) in pairs.items()
        if not np.array_equal(a.weights.integers, b.weights.integers) or not np.array_equal(a.bias, b.bias)
    }


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("method", ["adaround", "coordinate_descent", "gptq", "bias_correction", "batch_norm"])
def test_rows_that_meet_are_walked_a_batch_at_a_time(batch: int, method: str) -> None:
    rows = torch.randn((40, 3, 6, 6), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    graph = lowbit.trace(RowsMeet().eval(), rows[:batch])
    assert mixes_rows(graph)
    task = begin(graph, calibrate(graph, [(rows[i : i + batch].numpy(),) for i in range(0, 40, batch)]), parse_config("4/int4"))
    after, judge = QUICK[method](task), Judge.of(graph, task.held)
    count = len(task.fit[0]) // batch * batch
    assert f"on {count} rows" in after.log[-1].what
    assert judge.error(apply(graph, after.choice)) < 1.5 * judge.error(apply(graph, task.choice))
    assert changed_layers(task.choice, after.choice)


@pytest.mark.parametrize("batch", [1, 2])
def test_what_is_walked_is_what_the_network_gives_batch_by_batch(batch: int) -> None:
    rows = torch.randn((5, 3, 6, 6), generator=torch.Generator().manual_seed(0))
    graph = lowbit.trace(RowsMeet().eval(), rows[:batch])
    names = [node.name for node in graph.nodes]
    found = float_values(graph, (rows.numpy(),), names, lambda _, y: y)
    for start in range(0, 5 - batch + 1, batch):
        values = dict(zip(graph.inputs, (rows[start : start + batch],), strict=True))
        for node in graph.nodes:
            wanted = values[node.name] = run_node(graph, node, values)
            size = len(wanted)
            np.testing.assert_allclose(found[node.name][start // batch * size :][:size], wanted, rtol=1e-5, atol=1e-6)


def test_rows_that_cannot_be_walked_are_rounded_to_nearest_or_refused() -> None:
    rows = torch.randn((60, 3, 6, 6), generator=torch.Generator().manual_seed(0))
    model, options = RowsMeet().eval(), {"calibration": [rows], "config": "4/int4"}
    plan = lowbit.quantize(model, rows, **options)
    assert "nearest: methods take many rows, but" in str(plan.log[-1].what)
    with pytest.raises(
        UnsupportedOperation, match=r"and there are 40 rows for its batch of 60; method='nearest' takes any network"
    ):
        lowbit.quantize(model, rows, method="gptq", **options)
    for method in ("blocks", "distillation"):
        with pytest.raises(UnsupportedOperation, match="takes rows one by one, but"):
            lowbit.quantize(model, rows, method=method, **options)


def test_few_samples_learn_the_first_layers_first(graph, calibration) -> None:
    """Of 324 + 1296 + 108 + ... weights, 6 for each of 64 rows are enough for the first layer alone."""
    task = begin(graph, calibration, parse_config("w3a4"))
    judge, method = Judge.of(graph, task.held), QUICK["few_samples"]
    learned = dataclasses.replace(method.distillation, weights_per_row=6.0, rest_in_float=True)(task)

    def changed(one, other) -> set[str]:
        pairs = {n: (one.choice.layers[n].weights.integers, other.choice.layers[n].weights.integers) for n in one.choice.layers}
        return {name for name, (a, b) in pairs.items() if not np.array_equal(a, b)}

    assert changed(task, learned) == {"stem"}
    after = method(task)
    assert "stem" not in changed(learned, after)
    assert {"grouped", "head"} <= changed(learned, after)
    assert judge.error(apply(graph, after.choice)) < judge.error(apply(graph, task.choice))
    assert [step.method for step in after.log] == ["few samples"]
    assert "1 of 5 layers on 64 rows, the others in float" in after.log[-1].what


def test_what_only_learns_first_layers_keeps_the_others(graph, calibration) -> None:
    task = begin(graph, calibration, parse_config("w3a4"))
    after = Distillation(iterations=60, batch=16, rate=5e-3, checks=3, weights_per_row=6.0)(task)
    for name, numbers in after.choice.layers.items():
        same = np.array_equal(numbers.weights.integers, task.choice.layers[name].weights.integers)
        assert same == (name != "stem")
    judge = Judge.of(graph, task.held)
    assert judge.error(apply(graph, after.choice)) < judge.error(apply(graph, task.choice))
