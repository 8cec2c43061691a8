"""Cross-layer equalisation: the same function, other ranges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowbit.methods import ActivationEqualization, Equalization, begin
from lowbit.methods.activation_equalization import best_range
from lowbit.methods.equalization import equalize, pairs_of
from lowbit.methods.judge import float_outputs
from lowbit.methods.walk import by_channel, float_values
from lowbit.numerics import QParams, QType
from lowbit.quantization import calibrate, parse_config
from tests.graph.build import Build
from tests.methods.conftest import rows


def reach(graph, x, name: str) -> np.ndarray:
    """The largest magnitude of each channel of a value."""
    return float_values(graph, [x], {name}, lambda node, y: best_range(by_channel(node, y), None))[name]


def chain():
    """conv - relu - max pool - depthwise - relu - grouped - mean - flat - linear, of channels of very unequal ranges."""
    b = Build(3)
    x = b.input("x", 1, 3, 8, 8)
    first = b.conv("first", x, 8)
    b.constants["first.weight"] *= np.geomspace(0.01, 100, 8).reshape(-1, 1, 1, 1)
    pooled = b.pool("pooled", first, "max_pool2d", 2, 2)
    depthwise = b.conv("depthwise", pooled, 8, groups=8)
    grouped = b.conv("grouped", depthwise, 12, 1, padding=(0, 0, 0, 0), groups=2)
    flat = b.node("flat", "reshape", b.global_mean("mean", grouped), shape=(1, 12))
    return b.graph(b.linear("fc", flat, 4))


def test_pairs_are_found_through_what_keeps_channels() -> None:
    pairs = [(a.name, b.name) for a, b in pairs_of(chain())]
    assert pairs == [("first", "depthwise"), ("depthwise", "grouped"), ("grouped", "fc")]


def test_the_float_network_is_the_same() -> None:
    graph, x = chain(), rows(16)
    wanted, got = (float_outputs(g, [x])[0] for g in (graph, equalize(graph, 20)))
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_ranges_become_equal() -> None:
    after = equalize(chain(), 20)
    first = np.abs(after.constants["first.weight"]).reshape(8, -1).max(1)
    depthwise = np.abs(after.constants["depthwise.weight"]).reshape(8, -1).max(1)
    np.testing.assert_allclose(first, depthwise, rtol=1e-3)
    assert not np.allclose(chain().constants["first.weight"], after.constants["first.weight"])


def test_what_has_two_readers_or_a_bound_is_left_alone(graph, calibration) -> None:
    assert [(a.name, b.name) for a, b in pairs_of(graph)] == [("depthwise", "grouped")]  # stem: two readers; grouped: ReLU6
    task = begin(graph, calibration, parse_config("w4a8"))
    done = Equalization()(task)
    assert "1 pairs of layers" in str(done.log[-1])
    wanted, got = (float_outputs(g, [rows(8)])[0] for g in (graph, done.graph))
    assert got == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_channels_of_values_become_equal() -> None:
    graph, x = chain(), rows(64)
    task = begin(graph, calibrate(graph, [x]), parse_config("w4a4"))
    done = ActivationEqualization()(task)
    wanted, got = (float_outputs(g, [x])[0] for g in (graph, done.graph))
    assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max()
    names = [first.name for first, second in pairs_of(graph) if second.name == "depthwise"]
    before, after = (reach(g, x, names[0]) for g in (graph, done.graph))
    assert before.max() > 1000 * before.min()
    assert after.max() < 64.1 * after.min() * before.max() / before.min() / 1000


def test_an_upper_bound_is_not_crossed_by_the_samples_where_their_largest_is_the_best_range() -> None:
    b = Build(3)
    first = b.conv("first", b.input("x", 1, 3, 8, 8), 8, hi=6.0)
    b.constants["first.weight"] *= np.geomspace(0.1, 5, 8).reshape(-1, 1, 1, 1)
    depthwise = b.conv("depthwise", first, 8, groups=8)
    graph = b.graph(b.linear("fc", b.node("flat", "reshape", b.global_mean("mean", depthwise), shape=(1, 8)), 4))
    x = rows(64)
    done = ActivationEqualization()(begin(graph, calibrate(graph, [x]), parse_config("w4a16")))
    wanted, got = (float_outputs(g, [x])[0] for g in (graph, done.graph))
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert not np.allclose(done.graph.constants["first.weight"], graph.constants["first.weight"])
    clipped = reach(graph, x, "first") >= 6.0
    assert clipped.any()
    same = [
        np.array_equal(a, b) for a, b in zip(done.graph.constants["first.weight"], graph.constants["first.weight"], strict=True)
    ]
    assert all(np.asarray(same)[clipped])


def test_the_best_range_is_that_of_least_error() -> None:
    draw = np.random.default_rng(5)
    values = np.concatenate([np.abs(draw.normal(size=(3, 500))), [[2.0], [6.0], [60.0]]], 1).astype(np.float32)
    found = best_range(torch.from_numpy(values), QParams(QType(4, False), np.asarray(1.0)))
    for channel, r in zip(values, found, strict=True):

        def error(reach: float, channel: np.ndarray = channel) -> float:
            step = reach / 15
            return float(np.square(np.clip(np.rint(channel / step), 0, 15) * step - channel).sum())

        assert error(r) <= min(error(channel.max() * k / 24) for k in range(1, 25)) * 1.0001
        assert r < channel.max()


def test_real_values_and_fine_grids_keep_their_whole_range() -> None:
    values = torch.from_numpy(np.random.default_rng(5).normal(size=(3, 500)).astype(np.float32))
    largest = values.abs().amax(1).numpy()
    for params in (None, QParams(QType(16, True), np.asarray(1.0))):
        np.testing.assert_array_equal(best_range(values, params), largest)


def test_a_linear_layer_along_another_axis_reads_no_channels() -> None:
    b = Build(3)
    first = b.conv("first", b.input("x", 4, 3, 6, 8), 8)  # 8 channels, maps of width 8
    graph = b.graph(b.linear("along_width", first, 4))
    assert pairs_of(graph) == []
    b = Build(3)
    first = b.linear("first", b.input("x", 4, 6, 8, 5), 8)  # channels last: pools work on others
    pooled = b.pool("pooled", first, "max_pool2d", 2, 1)
    graph = b.graph(b.linear("second", pooled, 4))
    assert pairs_of(graph) == []
    b = Build(3)
    graph = b.graph(b.linear("second", b.linear("first", b.input("x", 4, 6, 7, 5), 8), 4))
    assert [(one.name, other.name) for one, other in pairs_of(graph)] == [("first", "second")]
    calibration = calibrate(graph, [np.random.default_rng(0).normal(size=(64, 6, 7, 5)).astype(np.float32)])
    x = np.random.default_rng(1).normal(size=(4, 6, 7, 5)).astype(np.float32)
    for method in (Equalization(), ActivationEqualization()):
        done = method(begin(graph, calibration, parse_config("w4a4")))
        wanted, got = (float_outputs(g, [x])[0] for g in (graph, done.graph))
        assert got == pytest.approx(wanted, rel=1e-4, abs=1e-4)
