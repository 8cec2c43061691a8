"""What each pass does and does not do, on graphs traced from small modules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lowbit import zoo
from lowbit.errors import NumericsError
from lowbit.frontend import evaluate, import_model
from lowbit.graph import Graph, Node, TensorType, verify
from lowbit.passes import PASSES, canonicalize
from lowbit.passes.batch_norm_to_affine import batch_norm_to_affine
from lowbit.passes.canonical_form import canonical_form
from lowbit.passes.clamps import compose
from lowbit.passes.fold_into_previous import fold_into_previous
from lowbit.passes.merge_moves import merge_moves
from lowbit.passes.remove_dead import remove_dead
from lowbit.passes.remove_identities import remove_identities
from tests.frontend.cases import CASES, Lambda, case

X = (1, 6, 9, 9)


def _ops(function: Callable | nn.Module, *shapes: tuple[int, ...], **layers: nn.Module) -> list[str]:
    return [node.op for node in _canonical(function, *shapes, **layers).nodes]


def _canonical(function: Callable | nn.Module, *shapes: tuple[int, ...], **layers: nn.Module) -> Graph:
    torch.manual_seed(0)
    module = function if isinstance(function, nn.Module) else Lambda(lambda self, *xs: function(self, *xs), **layers)
    return canonicalize(import_model(module, tuple(torch.randn(shape) for shape in shapes or (X,))))


def test_batch_norm_and_relu_disappear_into_the_convolution() -> None:
    graph = _canonical(nn.Sequential(nn.Conv2d(6, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU6()))
    (conv,) = graph.nodes
    assert (conv.name, conv.op) == ("0", "conv2d")
    assert (conv.attrs["lo"], conv.attrs["hi"]) == (0.0, 6.0)
    assert conv.inputs[1:] == ("0.weight", "0.bias")
    assert graph.outputs == ("0",)


def test_batch_norm_stays_apart_where_the_convolution_has_another_reader() -> None:
    ops = _ops(lambda self, x: torch.cat([y := self.c(x), self.b(y)], 1), c=nn.Conv2d(6, 4, 3), b=nn.BatchNorm2d(4))
    assert ops == ["conv2d", "affine", "concat"]


def test_batch_norm_without_a_layer_is_affine_with_its_clamp() -> None:
    graph = _canonical(nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(6), nn.ReLU()))
    assert [node.op for node in graph.nodes] == ["max_pool2d", "affine"]
    assert graph.nodes[1].attrs == {"lo": 0.0, "hi": None}


def test_folding_is_done_in_float64() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 1, bias=False), nn.BatchNorm2d(3, eps=1e-3)).eval()
    model[1].running_var.uniform_(0.1, 2)
    graph = canonicalize(import_model(model, torch.zeros(1, 2, 4, 4)))
    scale = model[1].weight.detach().double() / torch.sqrt(model[1].running_var.double() + 1e-3)
    weight = (model[0].weight.detach().double() * scale.float().double().reshape(-1, 1, 1, 1)).float().numpy()
    np.testing.assert_array_equal(graph.constants[graph.nodes[0].inputs[1]], weight)


def test_negative_variance_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)).eval()
    model[1].running_var.fill_(-1)
    graph = import_model(model, torch.zeros(1, 2, 4, 4))
    with pytest.raises(NumericsError, match="folding constants into its scale gives NaN or Inf"):
        batch_norm_to_affine(graph)


def test_overflow_in_folding_is_refused() -> None:
    model = Lambda(lambda self, x: self.c(x) * 1e30 * 1e30, c=nn.Conv2d(2, 3, 1))
    with pytest.raises(NumericsError, match=r"c .*folding constants into its weight"):
        canonicalize(import_model(model, torch.zeros(1, 2, 4, 4)))


@pytest.mark.parametrize(
    ("function", "ops"),
    [
        (lambda self, x: self.c(x) * 0.5 + 1 - 2, ["conv2d"]),
        (lambda self, x: self.c((x - 1) * 2), ["conv2d"]),
        (lambda self, x: self.c(x) + torch.arange(6.0).reshape(6, 1, 1), ["conv2d"]),
        (lambda self, x: self.c(x) + torch.arange(7.0), ["conv2d", "add"]),
        (lambda self, x: self.p(x - 1), ["affine", "conv2d"]),  # the padding zeros would have to be ones
        (lambda self, x: self.p(x * 2), ["conv2d"]),
        (lambda self, x: torch.cat([self.c(y := x + 1), y[:, :, 2:, 2:]], 1), ["affine", "conv2d", "slice", "concat"]),
        (lambda self, x: F.relu(x + 1) * 2, ["affine", "affine"]),
        (lambda self, x: (x + 1) * 2 - 3, ["affine"]),
        (lambda self, x: x * 1 + 0, []),
        (lambda self, x: self.c(F.relu(x)), ["clamp", "conv2d"]),
        (lambda self, x: F.relu(self.c(x) * 2) * -1, ["conv2d", "affine"]),
    ],
)
def test_constants_fold_into_layers(function: Callable, ops: list[str]) -> None:
    assert _ops(function, c=nn.Conv2d(6, 6, 3), p=nn.Conv2d(6, 6, 3, padding=1)) == ops


def test_affine_folds_into_linear() -> None:
    assert _ops(nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 7), nn.BatchNorm1d(7)), (3, 5)) == ["linear"]
    assert _ops(lambda self, x: self.c(x * 2 + 1) * self.c.bias, (3, 4, 5), c=nn.Linear(5, 7)) == ["linear"]
    assert _ops(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(5, 7)), (3, 4, 5)) == ["linear"]  # equal for all channels
    trained = nn.BatchNorm1d(4)
    trained.running_mean.copy_(torch.arange(4.0))
    assert _ops(nn.Sequential(trained, nn.Linear(5, 7)), (3, 4, 5)) == ["affine", "linear"]


def test_residual_goes_to_the_later_layer_with_the_clamp_behind() -> None:
    graph = _canonical(
        lambda self, x: F.relu(self.c(x) + self.d(x)), c=nn.Conv2d(6, 4, 3, padding=1, bias=False), d=nn.Conv2d(6, 4, 1)
    )
    first, second = graph.nodes
    assert (first.name, second.name) == ("c", "d")
    assert second.attrs["residual"] is True
    assert second.inputs == (graph.inputs[0], "d.weight", "d.bias", "c")
    assert (second.attrs["lo"], first.attrs["lo"]) == (0.0, None)
    assert "residual" not in first.attrs


@pytest.mark.parametrize(
    "function",
    [
        lambda self, x: F.relu(self.c(x)) + x,  # the clamp stands between
        lambda self, x: (y := self.c(x)) + y,  # its own residual
        lambda self, x: self.c(x) + x.amax((2, 3), keepdim=True),  # another shape
        lambda self, x: (self.c(x) + x)[:, :1] + self.k,  # a constant
        lambda self, x: ((y := self.c(x)) + x, y),  # another reader
    ],
)
def test_residual_is_not_fused(function: Callable) -> None:
    module = Lambda(lambda self, x: function(self, x), c=nn.Conv2d(6, 6, 1))
    module.register_buffer("k", torch.randn(9, 9))
    graph = canonicalize(import_model(module, torch.randn(X)))
    assert "add" in [node.op for node in graph.nodes]


def test_a_layer_takes_one_residual() -> None:
    graph = _canonical(lambda self, x: self.c(x) + x + F.relu(x), c=nn.Conv2d(6, 6, 1))
    assert sorted(node.op for node in graph.nodes) == ["add", "clamp", "conv2d"]
    assert len(graph.node("c").inputs) == 4


def test_zero_padding_moves_into_convolutions_only() -> None:
    graph = _canonical(nn.Sequential(nn.ZeroPad2d((0, 1, 2, 3)), nn.Conv2d(6, 4, 3, padding=1)))
    assert [node.attrs["padding"] for node in graph.nodes] == [(3, 1, 4, 2)]
    assert _ops(nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(2))) == ["pad", "max_pool2d"]
    assert _ops(nn.Sequential(nn.ConstantPad2d(1, 2.0), nn.Conv2d(6, 4, 3))) == ["pad", "conv2d"]
    assert _ops(lambda self, x: self.c(F.pad(x, (0, 0, 0, 0, 1, 1))), c=nn.Conv2d(8, 4, 3)) == ["pad", "conv2d"]
    shared = _ops(lambda self, x: torch.cat([self.c(y := F.pad(x, (1, 1, 1, 1))), y], 1), c=nn.Conv2d(6, 4, 3, padding=1))
    assert shared[:2] in (["pad", "conv2d"], ["conv2d", "pad"])


@pytest.mark.parametrize(
    ("function", "ops"),
    [
        (lambda self, x: F.max_pool2d(F.pad(x, (0, 1, 1, 0), value=-torch.inf), 3, 2), ["max_pool2d"]),
        (lambda self, x: F.max_pool2d(F.pad(x, (1, 1, 0, 1), value=torch.finfo(torch.float32).min), 2), ["max_pool2d"]),
        (
            lambda self, x: F.max_pool2d(F.pad(F.pad(x, (1, 0), value=-torch.inf), (0, 0, 1, 1), value=-torch.inf), 3),
            ["max_pool2d"],
        ),
        (lambda self, x: F.max_pool2d(F.pad(x.relu(), (1, 1, 1, 1)), 3, 2, 1), ["clamp", "max_pool2d"]),
        (lambda self, x: F.max_pool2d(F.pad(x.relu(), (1, 1, 1, 1), value=0.5), 3), ["clamp", "pad", "max_pool2d"]),
        (lambda self, x: F.max_pool2d(F.pad(F.hardtanh(x), (1, 1, 1, 1), value=-0.5), 3), ["clamp", "pad", "max_pool2d"]),
        (lambda self, x: F.max_pool2d(F.pad(F.hardtanh(x), (2, 0, 1, 1), value=-1.0), 3), ["clamp", "max_pool2d"]),
        (lambda self, x: F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-1e9), 3), ["pad", "max_pool2d"]),
        (
            lambda self, x: F.max_pool2d(F.pad(x.relu(), (3, 3, 3, 3)), 2),
            ["clamp", "pad", "max_pool2d"],
        ),  # windows of zeros alone
        (lambda self, x: -F.max_pool2d(-F.pad(x.clamp(max=1), (1, 1, 1, 1), value=1.0), 2), ["clamp", "min_pool2d"]),
    ],
)
def test_padding_that_never_wins_moves_into_pools(function: Callable, ops: list[str]) -> None:
    graph = _canonical(function)
    assert [node.op for node in graph.nodes] == ops
    x = torch.randn(X)
    (got,) = evaluate(graph, [x])
    assert torch.equal(got, function(None, x))


@pytest.mark.parametrize(
    "function", [lambda self, x: F.pad(x, (1, 1), value=-torch.inf).relu(), lambda self, x: F.pad(x, (1, 1), value=torch.inf)]
)
def test_infinite_padding_that_no_pool_takes_in(function: Callable) -> None:
    with pytest.raises(NumericsError, match="only a max pool right behind it"):
        _canonical(function)


def test_padding_and_folding_reach_each_other() -> None:
    bn = nn.BatchNorm2d(6)
    assert _ops(nn.Sequential(nn.MaxPool2d(2), nn.ZeroPad2d(1), bn, nn.Conv2d(6, 4, 3))) == ["max_pool2d", "conv2d"]
    assert _ops(lambda self, x: self.c(F.pad(x * 2, (1, 1, 1, 1))), c=nn.Conv2d(6, 4, 3)) == ["conv2d"]


def test_clamp_moves_ahead_of_pooling_and_reshaping() -> None:
    moved = nn.Sequential(nn.Conv2d(6, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.ReLU())
    assert _ops(moved) == ["conv2d", "max_pool2d", "reshape"]
    assert _ops(nn.Sequential(nn.MaxPool2d(2), nn.ReLU())) == ["max_pool2d", "clamp"]  # fewer elements behind the pool
    assert _ops(nn.Sequential(nn.Conv2d(6, 4, 3), nn.AvgPool2d(2), nn.ReLU())) == ["conv2d", "avg_pool2d", "clamp"]


@pytest.mark.parametrize(
    ("function", "ops"),
    [
        (lambda self, x: F.relu6(F.relu(F.max_pool2d(self.c(x), 2))), ["conv2d", "max_pool2d"]),
        (lambda self, x: F.relu6(F.max_pool2d(F.relu(F.max_pool2d(self.c(x), 2)), 2)), ["conv2d", "max_pool2d", "max_pool2d"]),
        (lambda self, x: F.relu6(F.relu(F.max_pool2d(x, 2))), ["max_pool2d", "clamp"]),
        (lambda self, x: (y := F.relu(F.max_pool2d(self.c(x), 2)), F.relu6(F.relu(y.flatten(1)))), None),
        (lambda self, x: (y := F.relu(F.max_pool2d(self.c(x), 2)), F.relu6(y).flatten(1), F.hardtanh(F.relu(y))), None),
    ],
)
def test_several_clamps_behind_moves(function: Callable, ops: list[str] | None) -> None:
    """Each clamp that moved ahead is where the next one ends; once the second one walked in a circle for ever."""
    torch.manual_seed(0)
    module, x = Lambda(function, c=nn.Conv2d(6, 4, 3)), torch.randn(X) * 5
    traced = import_model(module, x)
    graph = canonicalize(traced, lambda step, graph: verify(graph))
    if ops is not None:
        assert [node.op for node in graph.nodes] == ops
    for got, want in zip(evaluate(graph, [x]), evaluate(traced, [x]), strict=True):
        torch.testing.assert_close(got, want)


def test_expansions_vanish_ahead_of_arithmetic_that_broadcasts_alike() -> None:
    assert _ops(lambda self, x: x * x.mean((2, 3), keepdim=True).expand_as(x)) == ["avg_pool2d", "mul"]
    assert _ops(lambda self, x: x[:, :1].expand(-1, 6, -1, -1) + 1.0) == ["slice", "expand", "affine"]
    assert _ops(lambda self, x: (y := x.expand(4, 5)) * y, (1, 5)) == ["expand", "mul"]
    assert _ops(lambda self, x: x.expand(4, 1).expand(4, 5), (1, 1)) == ["expand"]


@pytest.mark.parametrize(
    ("inner", "outer", "both"),
    [
        ((0, None), (None, 6), (0, 6)),
        ((0, None), (-1, 0.5), (0, 0.5)),
        ((-1, -0.5), (0, None), (0, 0)),
        ((None, None), (None, None), (None, None)),
        ((2, 1), (None, None), (1, 1)),
        ((None, 3), (5, 4), (4, 4)),
    ],
)
def test_clamps_compose_as_torch_computes_them(inner: tuple, outer: tuple, both: tuple) -> None:
    assert compose(inner, outer) == both
    x = torch.linspace(-8, 8, 65)

    def clamp(x: torch.Tensor, bounds: tuple) -> torch.Tensor:
        return x if bounds == (None, None) else torch.clamp(x, *bounds)

    torch.testing.assert_close(clamp(x, both), clamp(clamp(x, inner), outer))


def _moves(*nodes: Node, shapes: dict[str, tuple[int, ...]]) -> Graph:
    return Graph("moves", ("x",), (nodes[-1].name,), nodes, {name: TensorType(shape) for name, shape in shapes.items()})


def test_slices_of_slices_are_one_slice() -> None:
    graph = _moves(
        Node("a", "slice", ("x",), {"starts": (0, 1), "steps": (1, 2)}),
        Node("b", "slice", ("a",), {"starts": (1, 1), "steps": (1, 3)}),
        shapes={"x": (3, 20), "a": (3, 10), "b": (2, 3)},
    )
    merged = remove_dead(merge_moves(graph))
    assert [(node.inputs, dict(node.attrs)) for node in merged.nodes] == [(("x",), {"starts": (1, 3), "steps": (1, 6)})]
    x = torch.arange(60.0).reshape(3, 20)
    assert torch.equal(evaluate(graph, [x])[0], evaluate(merged, [x])[0])


def test_selections_of_selections_are_one_selection() -> None:
    graph = _moves(
        Node("a", "take", ("x",), {"indices": (None, (3, 1, 0, 0), (1, 0))}),
        Node("b", "take", ("a",), {"indices": ((1, 1), (2, 0, 1), None)}),
        shapes={"x": (2, 4, 2), "a": (2, 4, 2), "b": (2, 3, 2)},
    )
    merged = remove_dead(merge_moves(graph))
    assert [(node.inputs, dict(node.attrs)) for node in merged.nodes] == [(("x",), {"indices": ((1, 1), (0, 3, 1), (1, 0))})]
    x = torch.arange(16.0).reshape(2, 4, 2)
    assert torch.equal(evaluate(graph, [x])[0], evaluate(merged, [x])[0])


def test_selections_that_cancel_disappear() -> None:
    graph = _moves(
        Node("a", "take", ("x",), {"indices": (None, (2, 1, 0))}),
        Node("b", "take", ("a",), {"indices": (None, (2, 1, 0))}),
        shapes={"x": (2, 3), "a": (2, 3), "b": (2, 3)},
    )
    assert remove_dead(remove_identities(merge_moves(graph))).nodes == ()


def test_reshapes_and_permutations_that_cancel_disappear() -> None:
    graph = _moves(
        Node("a", "permute", ("x",), {"dims": (1, 2, 0)}),
        Node("b", "permute", ("a",), {"dims": (2, 0, 1)}),
        Node("c", "reshape", ("b",), {"shape": (6, 4)}),
        Node("d", "reshape", ("c",), {"shape": (2, 3, 4)}),
        shapes={"x": (2, 3, 4), "a": (3, 4, 2), "b": (2, 3, 4), "c": (6, 4), "d": (2, 3, 4)},
    )
    cleaned = remove_dead(remove_identities(merge_moves(graph)))
    assert cleaned.nodes == ()
    assert cleaned.outputs == ("x",)


def test_pools_of_one_element_disappear() -> None:
    assert _ops(nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.MaxPool2d(1)), (1, 3, 4, 4)) == []
    assert _ops(nn.AvgPool2d(1, divisor_override=2), (1, 3, 4, 4)) == ["avg_pool2d"]


def test_canonical_form_adds_zero_biases_and_bounds() -> None:
    graph = canonical_form(import_model(nn.Conv2d(6, 4, 3, bias=False).eval(), torch.zeros(X)))
    (conv,) = graph.nodes
    assert conv.attrs["lo"] is None
    assert conv.attrs["hi"] is None
    assert not graph.constants[conv.inputs[2]].any()


@pytest.mark.parametrize("name", [*sorted(CASES), "cifar_resnet8", "cifar_resnet20", "densenet_block"])
def test_canonical_graphs_are_canonical(name: str) -> None:
    """Doing it again changes nothing; bounds and biases are there; nothing is left to fold."""
    model, inputs = case(name) if name in CASES else (zoo.build(name), zoo.example_inputs(name))
    graph = canonicalize(import_model(model, inputs))
    again = canonicalize(graph)
    assert again.nodes == graph.nodes
    for node in graph.nodes:
        assert node.op != "batch_norm"
        if node.op in ("conv2d", "linear"):
            assert len(node.inputs) == 3 + bool(node.attrs.get("residual"))
            assert node.inputs[2] in graph.constants
        if node.op in ("conv2d", "linear", "add", "sub", "mul", "affine"):
            assert {"lo", "hi"} <= set(node.attrs)


def test_hook_runs_after_every_pass() -> None:
    seen = []
    graph = import_model(nn.ReLU(), torch.zeros(X))
    result = canonicalize(graph, lambda step, after: seen.append((step, after)))
    assert [step for step, _ in seen] == list(PASSES)
    assert seen[-1][1] is result


def test_folding_keeps_shared_constants_of_other_layers() -> None:
    model = Lambda(lambda self, x: torch.cat([self.b(self.c(x)), self.c(x)], 1), c=nn.Conv2d(6, 4, 3), b=nn.BatchNorm2d(4))
    model.b.running_var.fill_(4.0)
    graph = fold_into_previous(batch_norm_to_affine(canonical_form(import_model(model.eval(), torch.zeros(X)))))
    weights = [graph.constants[node.inputs[1]] for node in graph.nodes if node.op == "conv2d"]
    assert not np.allclose(weights[0], weights[1])
    np.testing.assert_array_equal(weights[1], model.c.weight.detach().numpy())


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.ConvTranspose2d(6, 4, 4, 2, 1), ["conv2d", "interleave"]),
        (nn.ConvTranspose2d(6, 4, 3, 2, 1), ["conv2d"] * 4 + ["concat", "interleave"]),
        (nn.ConvTranspose2d(6, 4, 4, 2, 1, groups=2), ["conv2d", "interleave"]),
    ],
)
def test_what_follows_a_transposed_convolution_moves_into_its_phases(layer: nn.Module, expected: list[str]) -> None:
    assert _ops(nn.Sequential(layer, nn.BatchNorm2d(4), nn.ReLU6())) == expected
    read_twice = Lambda(lambda self, x: (y := self.c(x)).relu() + y, c=layer)
    assert [op for op in _ops(read_twice) if op in ("clamp", "affine")] == ["clamp"]


def test_a_batch_norm_behind_a_convolution_of_one_axis_is_folded() -> None:
    model = nn.Sequential(nn.Conv1d(6, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Conv1d(4, 3, 1))
    assert _ops(model, (2, 6, 9)) == ["reshape", "conv2d", "conv2d", "reshape"]


def test_a_pool_between_two_negations_takes_the_smallest() -> None:
    graph = _canonical(lambda self, x: -F.max_pool2d(-x, 3, 2, 1))
    assert [node.op for node in graph.nodes] == ["min_pool2d"]
    x = torch.randn(X, generator=torch.Generator().manual_seed(3))
    assert torch.equal(evaluate(graph, [x])[0], -F.max_pool2d(-x, 3, 2, 1))
    assert "max_pool2d" in _ops(lambda self, x: -F.max_pool2d(-2 * x, 3))
    assert "max_pool2d" in _ops(lambda self, x: (y := F.max_pool2d(-x, 3), -y))
    assert "max_pool2d" in _ops(lambda self, x: F.max_pool2d(-x, 3) * torch.linspace(-1, 0, 6).reshape(6, 1, 1))


def _masked(mask: torch.Tensor) -> Callable:
    return lambda self, x: (x * 4 + mask).softmax(-1)


@pytest.mark.parametrize("depth", [-torch.inf, -3.4e38, -1e9])
def test_masks_reach_a_thousand_below_what_is_shown(depth: float) -> None:
    mask = torch.tensor([[0.0, depth, 0.5], [depth, -2.0, depth]])
    graph = _canonical(_masked(mask), (4, 2, 3))
    (bounded,) = (graph.constants[name] for node in graph.nodes for name in node.inputs if node.op == "add" and "mask" in name)
    assert np.array_equal(bounded, [[0, -999.5, 0.5], [-1002, -2, -1002]])


@pytest.mark.parametrize("depth", [-3.4e38, -1e9])
def test_rows_that_are_all_hidden_stay_as_they_are(depth: float) -> None:
    """Added to such numbers, scores of a row are all the same."""
    x, mask = torch.randn(4, 2, 3), torch.tensor([[0.0] * 3, [depth] * 3])
    (y,) = evaluate(_canonical(_masked(mask), (4, 2, 3)), [x])
    assert torch.allclose(y, (x * 4 + mask).softmax(-1), atol=1e-6)


def test_choosing_between_scores_and_nothing_is_a_mask_alone() -> None:
    shown = torch.eye(3, dtype=torch.bool)
    graph = _canonical(lambda self, x: torch.where(shown, x, -torch.inf).softmax(-1), (2, 3, 3))
    assert [node.op for node in graph.nodes] == ["add", "softmax"]
    graph = _canonical(lambda self, x: torch.where(shown, x, -5.0).softmax(-1), (2, 3, 3))
    assert [node.op for node in graph.nodes] != ["add", "softmax"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + torch.tensor([0.0, -torch.inf, 0.0]),
        lambda x: (x + torch.full((3,), -torch.inf)).softmax(-1),
        lambda x: (x + torch.tensor([0.0, -torch.inf, 0.0])).softmax(0),
        lambda x: (x + torch.tensor([0.0, -torch.inf, 0.0])).log_softmax(-1),
        lambda x: (lambda s: s.softmax(-1) + s.relu())(x + torch.tensor([0.0, -torch.inf, 0.0])),
    ],
)
def test_minus_infinity_hides_some_scores_of_a_softmax_or_is_refused(function: Callable) -> None:
    with pytest.raises(NumericsError, match=r"holds -inf; it may only hide some of the scores of a softmax"):
        _canonical(lambda self, x: function(x), (2, 3, 3))
