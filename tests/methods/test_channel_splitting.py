"""Dead channels carry copies of live ones: the float network computes the same, the integer network more exactly."""

from __future__ import annotations

import numpy as np
import pytest

import lowbit
from lowbit.graph import Graph, interpret
from lowbit.methods import BiasCorrection, ChannelSplitting, begin
from lowbit.methods.channel_splitting import dead_channels, rows_of
from lowbit.methods.judge import float_outputs
from lowbit.methods.walk import float_values
from lowbit.quantization import apply, calibrate, parse_config
from tests.graph.build import Build
from tests.methods.conftest import rows

DEAD = (1, 3, 4, 6)


def network(bias: float = -1.0, after: float = 0.2, kernel: int = 1, groups: int = 8, lo: float | None = 0.0) -> Graph:
    """A stem of which half the channels see nothing and give relu(bias), depthwise, dense."""
    b = Build(3)
    stem = b.conv("stem", b.input("x", 1, 3, 8, 8), 8, lo=lo, hi=None if lo is None else 6.0)
    b.constants["stem.weight"][list(DEAD)] = 1e-9
    b.constants["stem.bias"][list(DEAD)] = bias
    depthwise = b.conv("depthwise", stem, 8, groups=groups, hi=6.0)
    b.constants["depthwise.bias"][list(DEAD)] = after
    side = kernel // 2
    dense = b.conv("dense", depthwise, 12, kernel, padding=(side,) * 4)
    flat = b.node("flat", "reshape", b.global_mean("mean", dense), shape=(1, 12))
    return b.graph(b.linear("fc", flat, 4))


def task_of(graph: Graph, config: str = "w16a4"):
    return begin(graph, calibrate(graph, [rows(96)]), parse_config(config))


def dead_of(graph: Graph) -> dict[int, float]:
    task, (row,) = task_of(graph), [row for row in rows_of(graph) if row.layers[0].name == "stem"]
    return dead_channels(task, row)


def test_what_is_dead_is_proved() -> None:
    assert dead_of(network(kernel=3)) == {}  # 0.2 inside, 0 beside it
    assert dead_of(network(after=-0.2, kernel=3)) == dict.fromkeys(DEAD, 0.0)
    assert dead_of(network()) == pytest.approx(dict.fromkeys(DEAD, 0.2), abs=1e-6)
    assert dead_of(network(bias=0.5)) == {}  # the depthwise layer reads zeros beside 0.5


def test_a_channel_that_only_these_samples_leave_dead_is_not() -> None:
    graph = network()
    corners = np.abs(rows(96)[:, 0]) + np.abs(rows(96)[:, 1])
    weight, bias = graph.constants["stem.weight"], graph.constants["stem.bias"]
    weight[1], bias[1] = 0.0, -float(corners.max())  # what no sample reaches, but the grid of the input does
    weight[1, :2, 1, 1] = 1.0
    assert set(dead_of(graph)) == set(DEAD) - {1}
    seen = float_values(graph, [rows(96)], {"stem"}, lambda _, y: float(y[:, 1].max()))
    assert seen["stem"] == 0.0


def test_grouped_layers_are_no_rows() -> None:
    assert [row.layers[0].name for row in rows_of(network(groups=4))] == ["dense"]
    assert [row.last.name for row in rows_of(network())] == ["dense", "fc"]


@pytest.mark.parametrize("lo", [0.0, None])
@pytest.mark.parametrize("after", [0.2, -0.2])
def test_the_float_network_is_the_same(lo: float | None, after: float) -> None:
    graph, x = network(bias=-1.0 if lo == 0.0 else 0.0, after=after, lo=lo), rows(32, seed=1)
    done = ChannelSplitting()(task_of(graph))
    assert ("dead channels of 1 layers became copies" in done.log[-1].what) == (done.graph is not graph)
    wanted, got = (float_outputs(g, [x])[0] for g in (graph, done.graph))
    assert np.abs(got - wanted).max() <= 2e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("correct", [False, True])
def test_values_of_few_bits_lose_less(correct: bool) -> None:
    graph, x = network(), rows(64, seed=2)
    task = task_of(graph)
    done = ChannelSplitting()(task)
    assert "4 dead channels of 1 layers became copies of" in done.log[-1].what
    if correct:
        task, done = BiasCorrection()(task), BiasCorrection()(done)
    wanted = float_values(graph, [x], {"dense"}, lambda _, y: y.numpy())["dense"]

    def error(one) -> float:
        """Squared error of what the dense layer gives."""
        integer, held, values = apply(one.graph, one.choice), one.choice.values["dense"], []
        for row in x:
            interpret(integer, [row[None]], lambda name, value: values.append(value) if name == "dense" else None)
        real = (np.concatenate(values).astype(np.float64) - held.zero_point) * float(held.scale)
        return float(np.square(real - wanted).mean())

    assert error(done) < 0.6 * error(task)


def test_without_dead_channels_nothing_changes(graph, calibration) -> None:
    task = begin(graph, calibration, parse_config("w4a4"))
    done = ChannelSplitting()(task)
    assert done.graph is graph
    assert done.choice is task.choice
    assert done.log[-1].what == "no dead channels"


def test_the_plan_compiles_and_equals_the_oracle() -> None:
    graph, x = network(), rows(1, seed=5)
    plan = lowbit.quantize(graph, calibration=[rows(96)], config="w4a4", method=["channel_splitting", "bias_correction"])
    network_ = lowbit.compile(graph, plan=plan, tuning=False)
    np.testing.assert_array_equal(network_(x), interpret(plan.integer_graph(), [x])[0])
