"""Norms that are written out are found, and only those; what stands around products and norms moves into them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbit.frontend import evaluate
from lowbit.graph import Graph
from lowbit.tracer import trace
from tests.frontend.cases import Lambda

X = torch.randn((2, 6, 5, 7), generator=torch.Generator().manual_seed(3))


def _traced(function: Callable[[Tensor], Tensor], **layers: nn.Module) -> Graph:
    """The canonical graph, which must compute what the function does."""
    module = Lambda(lambda self, x: function(x), **layers).eval()
    graph = trace(module, X)
    (got,) = evaluate(graph, [X], dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(got, module.double()(X.double()), rtol=1e-5, atol=1e-6)
        module.float()
    return graph


def _ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def _norm(x: Tensor, axes: tuple[int, ...], other: tuple[int, ...] | None = None, eps: float = 1e-3) -> Tensor:
    c = x - x.mean(axes, keepdim=True)
    return c / torch.sqrt((c * c).mean(other or axes, keepdim=True) + eps)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: _norm(x, (2, 3)),
        lambda x: _norm(x, (1,)),
        lambda x: _norm(x, (3,)),
        lambda x: _norm(x, (1, 2, 3)),
        lambda x: _norm(x.flatten(1), (1,)),
        lambda x: x * torch.rsqrt((x * x).mean((2, 3), keepdim=True) + 0.1),
        lambda x: F.normalize(x, dim=2),
        lambda x: x / x.norm(dim=-1, keepdim=True).clamp(min=0.5),
        lambda x: torch.relu(_norm(x, (2, 3)) * torch.arange(1.0, 7.0, dtype=x.dtype).reshape(6, 1, 1) + 0.5),
    ],
)
def test_norms_by_hand_are_one_operation(function: Callable[[Tensor], Tensor]) -> None:
    assert [op for op in _ops(_traced(function)) if op != "reshape"] == ["normalize"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: _norm(x, (2, 3), (1,)),  # a variance over other axes than the mean: that of a value without its mean
        lambda x: _norm(x, (0,)).transpose(0, 1).reshape(2, 6, 5, 7) + _norm(x, (0, 1)),  # two axes that are no picture
        lambda x: (x - x.mean(1, keepdim=True)) / torch.sqrt((x * x).mean(1, keepdim=True) + 0.1),  # squares of another value
        lambda x: x / (x.norm(dim=1, keepdim=True) + 0.1),  # added to the length, not its least
        lambda x: x / torch.flip(x, (2,)).norm(dim=1, keepdim=True).clamp(min=0.5),  # of another value
        lambda x: x[:, :5] / x[:, :, :, :5].permute(0, 3, 2, 1)[:, :, :, :6].norm(dim=3, keepdim=True).clamp(min=0.5),
    ],
)
def test_what_only_looks_like_a_norm_stays(function: Callable[[Tensor], Tensor]) -> None:
    graph = _traced(function)
    found = [node for node in graph.nodes if node.op == "normalize"]
    assert all(node.attrs["axis"] == 0 or (not node.attrs["centred"] and node.attrs["mean"]) for node in found)


def test_a_length_of_transposed_rows_is_not_that_of_columns() -> None:
    """Square pictures: shapes alone do not tell the axes apart."""
    x = torch.randn((1, 4, 4, 4), generator=torch.Generator().manual_seed(5))
    module = Lambda(lambda self, x: x / x.transpose(2, 3).norm(dim=3, keepdim=True).clamp(min=0.1))
    graph = trace(module, x)
    (got,) = evaluate(graph, [x])
    torch.testing.assert_close(got, module(x))
    assert "normalize" not in _ops(graph)


def test_the_norm_of_channels_is_taken_before_they_are_moved() -> None:
    graph = _traced(lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (6,)).permute(0, 3, 1, 2))
    assert _ops(graph) == ["normalize"]
    assert graph.nodes[0].attrs["axis"] == 1


def test_a_number_behind_a_product_is_its_factor() -> None:
    graph = _traced(lambda x: (x[:, 0] @ x[:, 1].transpose(1, 2)).reshape(2, 25) / 4 * 3)
    assert _ops(graph)[-2:] == ["matmul", "reshape"]
    (product,) = (node for node in graph.nodes if node.op == "matmul")
    assert product.attrs["factor"] == pytest.approx(0.75)
    assert product.attrs["transposed"]


def test_a_product_read_twice_keeps_its_factor() -> None:
    graph = _traced(lambda x: (x[:, 0] @ x[:, 1].transpose(1, 2)) * 0.5 + (x[:, 0] @ x[:, 1].transpose(1, 2)).relu())
    assert [node.attrs["factor"] for node in graph.nodes if node.op == "matmul"] == [0.5, 1.0]


def test_a_response_norm_with_another_window_stays() -> None:
    def near(x: Tensor) -> Tensor:
        squares = F.pad((x * x).unsqueeze(1), (0, 0, 0, 0, 2, 0))  # not in the middle
        return x / (F.avg_pool3d(squares, (3, 1, 1), stride=1).squeeze(1) * 0.5 + 1.0) ** 0.75

    assert "response_norm" not in _ops(_traced(near))
    assert _ops(_traced(lambda x: F.local_response_norm(x, 3, 0.5))) == ["response_norm"]
