"""Coordinate descent: no weight alone could be better, and rows that were not fitted are not harmed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.methods.auto import best_of
from lowbit.methods.coordinate_descent import CoordinateDescent, Quadratic, descend
from lowbit.methods.judge import Judge
from lowbit.methods.task import Method, Step, Task, begin
from lowbit.quantization import parse_config


def made(groups: int, outputs: int, depth: int, rows: int = 500) -> tuple[Tensor, Tensor, Tensor]:
    """(x (P, G, K) whose entries go together, y (P, G * O), w (G, O, K))."""
    draw = torch.Generator().manual_seed(0)
    mixing = torch.randn(groups, depth, depth, generator=draw)
    x = torch.bmm(torch.randn(groups, rows, depth, generator=draw), mixing).transpose(0, 1) + 1
    w = torch.randn(groups, outputs, depth, generator=draw)
    return x, torch.einsum("pgk,gok->pgo", x, w).reshape(rows, -1), w


@pytest.mark.parametrize(("groups", "outputs", "depth"), [(1, 6, 10), (3, 2, 9), (1, 4, 150), (8, 1, 9)])
def test_no_single_change_is_better(groups: int, outputs: int, depth: int) -> None:
    x, y, w = made(groups, outputs, depth)
    quadratic, step = Quadratic.of(x, y), torch.full_like(w, 0.5)
    nearest = torch.round(w / step).clamp(-4, 3)
    q = descend(nearest, step, -4, 3, quadratic, 200)
    assert torch.equal(q, q.round())
    assert q.min() >= -4
    assert q.max() <= 3
    precise = Quadratic(quadratic.inputs.double(), quadratic.cross.double())
    least = precise.loss((q * step).double())
    before = precise.loss((nearest * step).double())
    assert (least <= before).all()
    assert least.sum() < before.sum()
    for k in range(depth):
        for by in (-1, 1):
            other = q.clone()
            other[:, :, k] = (other[:, :, k] + by).clamp(-4, 3)
            found = precise.loss((other * step).double())
            assert (found >= least - 1e-4 * least.abs()).all()


def test_the_loss_is_the_mean_square_less_what_no_weights_change() -> None:
    x, y, w = made(2, 3, 5)
    apart = x - x.mean(0)
    error = (y - y.mean(0)).reshape(-1, 2, 3) - torch.einsum("pgk,gok->pgo", apart, w + 0.1)
    expected = error.square().mean(0) - (y - y.mean(0)).square().mean(0).reshape(2, 3)
    torch.testing.assert_close(Quadratic.of(x, y).loss(w + 0.1), expected, rtol=1e-4, atol=1e-3)
    added = Quadratic.of(x, y).shrunk(w, 2.0).loss(w + 0.1) - Quadratic.of(x, y).loss(w + 0.1)
    constant = -2 * (apart.square().mean(0)[:, None] * w * w).sum(2)  # the loss leaves out what does not depend on w'
    expected = 2 * (apart.square().mean(0)[:, None] * 0.01).sum(2) + constant
    torch.testing.assert_close(added, expected, rtol=1e-3, atol=1e-2)


def test_inputs_that_are_always_alike_keep_their_integers() -> None:
    x, y, w = made(1, 4, 6)
    x[:, :, 2] = 3.0
    step = torch.full_like(w, 0.1)
    nearest = torch.round(w / step).clamp(-8, 7)
    q = descend(nearest, step, -8, 7, Quadratic.of(x, y), 20)
    assert torch.equal(q[:, :, 2], nearest[:, :, 2])
    still = descend(nearest, step, -8, 7, Quadratic.of(torch.ones_like(x), y), 20)
    assert torch.equal(still, nearest)


class Mixed(nn.Module):
    """Dense, depthwise and grouped convolutions, a residual, a clamp, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.depthwise = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.point, self.grouped = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=4)
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(x + self.point(nn.functional.relu6(self.depthwise(x))))
        return self.last(torch.relu(self.grouped(x)).mean((2, 3)))


def network() -> nn.Module:
    torch.manual_seed(0)
    return Mixed().eval()


def divergence(method: lowbit.CoordinateDescent | str, config: str, rows: int) -> float:
    """On rows that were not fitted."""
    draw = np.random.default_rng(0)
    low = draw.normal(size=(rows + 200, 3, 4, 4)).astype(np.float32)
    samples = np.ascontiguousarray(
        low.repeat(3, 2).repeat(3, 3) + 0.1 * draw.normal(size=(rows + 200, 3, 12, 12)).astype(np.float32)
    )
    model = network()
    graph = lowbit.trace(model, torch.from_numpy(samples[:1]))
    calibration = lowbit.calibrate(graph, samples=[samples[:rows]])
    plan = lowbit.quantize(graph, calibration=calibration, config=config, method=method)
    compiled, judge = lowbit.compile(graph, plan=plan), Judge.of(graph, (samples[rows:],))
    return judge.distance([np.concatenate([compiled(row[None]) for row in samples[rows:]])])


@pytest.mark.parametrize("config", ["w4a8", "w3a8", "w2a8"])
def test_other_rows_gain_where_there_are_many(config: str) -> None:
    assert divergence(CoordinateDescent(), config, 300) < 0.7 * divergence("nearest", config, 300)


def test_few_rows_are_not_learned_by_heart() -> None:
    """Twelve rows, of which the linear layer of 16 inputs sees eight: without a share of its own it would fit them exactly."""
    assert divergence(CoordinateDescent(), "w4a8", 12) < 1.1 * divergence("nearest", "w4a8", 12)


def test_layers_of_too_many_inputs_keep_their_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbit.methods.coordinate_descent._INPUTS_BYTES", 4 * 16 * 16)  # the linear layer, the pointwise one
    graph = lowbit.trace(network(), torch.zeros(1, 3, 12, 12))
    samples = np.random.default_rng(0).normal(size=(40, 3, 12, 12)).astype(np.float32)
    task = begin(graph, lowbit.calibrate(graph, samples=[samples]), parse_config("w3a8"))
    found = CoordinateDescent()(task).choice.layers
    for name, numbers in task.choice.layers.items():
        inputs = graph.constants[graph.node(name).inputs[1]][0].size * graph.node(name).attrs.get("groups", 1)
        small = inputs * graph.constants[graph.node(name).inputs[1]][0].size <= 256
        assert np.array_equal(found[name].weights.integers, numbers.weights.integers) is not small, name


@pytest.mark.parametrize(("gain", "kept"), [(0.3, True), (0.05, False), (-0.1, False)])
def test_rounding_once_more_must_gain_more_than_its_error(monkeypatch: pytest.MonkeyPatch, gain: float, kept: bool) -> None:
    """Errors of 40 rows whose differences deviate by 1: the standard error of their mean is 0.16."""
    graph = lowbit.trace(network(), torch.zeros(1, 3, 12, 12))
    samples = np.random.default_rng(0).normal(size=(120, 3, 12, 12)).astype(np.float32)
    task = begin(graph, lowbit.calibrate(graph, samples=[samples]), parse_config("w3a8"))
    first = np.full(40, 9.0)
    second = first - 1e-3  # the first to round is kept whatever it gains
    noise = np.tile([1.0, -1.0], 20)
    errors = {"CoordinateDescent": second, "AdaRound": second - gain + noise}

    def measured(task: Task, method: Method, judge: object, before: np.ndarray) -> tuple[Task, np.ndarray]:
        after = errors[type(method).__name__]
        step = Step(type(method).__name__, "", 0.0, float(before.mean()), float(after.mean()))
        return task.with_choice(task.choice, step), after

    monkeypatch.setattr("lowbit.methods.auto.measured", measured)
    monkeypatch.setattr(Judge, "errors", lambda judge, integer: first)
    done, methods = best_of(task, [CoordinateDescent(), lowbit.AdaRound()], "best")
    assert [type(method).__name__ for method in methods] == ["CoordinateDescent", "AdaRound"][: 1 + kept]
    assert ("tried and dropped" in str(done.log[-2])) is not kept


def test_an_interrupted_call_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Layers that were found are not found again, and the result is the same."""
    model = network()
    samples = np.random.default_rng(0).normal(size=(40, 3, 12, 12)).astype(np.float32)
    graph = lowbit.trace(model, torch.from_numpy(samples[:1]))
    calibration = lowbit.calibrate(graph, samples=[samples])
    config = parse_config("w4a8")
    method, whole = CoordinateDescent(), begin(graph, calibration, config)
    expected = method(whole).choice
    layer, calls = CoordinateDescent.layer, 0

    def stops(self: CoordinateDescent, *given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return layer(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(CoordinateDescent, "layer", stops)
    with pytest.raises(KeyboardInterrupt):
        method(begin(graph, calibration, config, state=tmp_path))  # type: ignore[arg-type]
    found = method(begin(graph, calibration, config, state=tmp_path)).choice  # type: ignore[arg-type]
    assert calls == 3 + len(expected.layers) - 2
    for name, numbers in expected.layers.items():
        np.testing.assert_array_equal(found.layers[name].weights.integers, numbers.weights.integers)
        np.testing.assert_array_equal(found.layers[name].bias, numbers.bias)
