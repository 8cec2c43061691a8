"""Operations that are others put together: what torch gives, and nothing that only sounds like it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbit.errors import UnsupportedOperation
from lowbit.frontend import evaluate, import_model
from lowbit.frontend.handlers.definitions import DEFINITIONS
from lowbit.passes import canonicalize

X = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))
WEIGHT = torch.randn(5, 6, 6, generator=torch.Generator().manual_seed(2))
ONE = float(X[0, 0, 0, 0])  # a value that is met exactly

CASES: dict[str, tuple[Callable[[Tensor], Any], ...]] = {
    "adjoint": (lambda x: x @ x.adjoint(),),
    "bilinear": (lambda x: F.bilinear(x, x.flip(1), WEIGHT, WEIGHT[:, 0, 0]), lambda x: F.bilinear(x, X, WEIGHT)),
    "broadcast_tensors": (lambda x: torch.broadcast_tensors(x, x[:, :1])[1] * 2,),
    "celu": (F.celu, lambda x: F.celu(x, 0.3)),
    "col2im": (
        lambda x: F.fold(x.reshape(2, 16, 9), (6, 6), 2, stride=2),
        lambda x: F.fold(x.reshape(2, 24, 6), (4, 5), (3, 2), padding=1, stride=2),
        lambda x: F.fold(x[0].reshape(36, 4), (6, 4), 3, dilation=2, padding=(0, 1)),
    ),
    "column_stack": (lambda x: torch.column_stack([x[0, 0], x[0, 1, :, 0]]),),
    "cosh": (torch.cosh,),
    "cosine_similarity": (lambda x: F.cosine_similarity(x, x.flip(1)), lambda x: F.cosine_similarity(x, X[:, :1], -1, 0.5)),
    "cross": (lambda x: torch.cross(x[:, :3], x[:, 1:], 1),),
    "cumsum": (lambda x: x.cumsum(2), lambda x: x.cumsum(-3)),
    "dist": (lambda x: torch.dist(x, x.flip(0)) + torch.dist(x, X * 2, 1),),
    "diagonal": (
        lambda x: x.diagonal(), lambda x: x.diagonal(1, 2, 3), lambda x: x.diagonal(-2, 1, 3), lambda x: x.diagonal(3, -1, 1),
        lambda x: x.diagonal(-1, 0, 3),
    ),
    "diff": (lambda x: x.diff(), lambda x: x.diff(2, 1), lambda x: x.diff(dim=2, prepend=x[:, :, :1] * 2)),
    "dot": (lambda x: torch.dot(x[0, 0, 0], x[0, 0, 1]),),
    "dsplit": (lambda x: torch.dsplit(x, 3)[1], lambda x: torch.dsplit(x, (1, 4))[2]),
    "dstack": (lambda x: torch.dstack([x, x * 2]),),
    "erfc": (torch.erfc,),
    "exp2": (torch.exp2,),
    "expm1": (torch.expm1,),
    "fmax": (lambda x: torch.fmax(x, 2 * x), lambda x: torch.fmax(x, X)),
    "fmin": (lambda x: torch.fmin(x, 2 * x), lambda x: torch.fmin(x, X)),
    "ger": (lambda x: torch.ger(x[0, 0, 0], x[0, 0, 1]),),
    "glu": (F.glu, lambda x: F.glu(x, 1)),
    "hardshrink": (F.hardshrink, lambda x: F.hardshrink(x, abs(ONE))),
    "hsplit": (lambda x: torch.hsplit(x, 2)[1],),
    "hstack": (lambda x: torch.hstack([x, x * 2]),),
    "hypot": (lambda x: torch.hypot(x, x.flip(1)),),
    "im2col": (
        lambda x: F.unfold(x, 3), lambda x: F.unfold(x, (2, 3), (2, 1), (1, 0), (1, 2)), lambda x: F.unfold(x[0], 2, stride=3),
    ),
    "inner": (lambda x: torch.inner(x, torch.ones(6)), lambda x: torch.inner(x[0, 0], x[0, 1])),
    "kron": (lambda x: torch.kron(x, torch.tensor([[1.0, 2.0]])),),
    "l1_loss": (lambda x: F.l1_loss(x, X * 0.5), lambda x: F.l1_loss(x, x.flip(1), reduction="none")),
    "lerp": (
        lambda x: torch.lerp(x, x.flip(1), 0.3), lambda x: torch.lerp(x, X * 2, X), lambda x: torch.lerp(x, x * 2, x.sigmoid()),
    ),
    "linalg_cross": (lambda x: torch.linalg.cross(x[:, :3], x[:, 1:], dim=1),),
    "linalg_matrix_norm": (lambda x: torch.linalg.matrix_norm(x),),
    "linalg_norm": (lambda x: torch.linalg.norm(x, dim=1), lambda x: torch.linalg.norm(x)),
    "linalg_vecdot": (lambda x: torch.linalg.vecdot(x, x.flip(1), dim=1),),
    "log10": (lambda x: torch.log10(x.abs() + 1),),
    "log2": (lambda x: torch.log2(x.abs() + 1),),
    "logaddexp": (lambda x: torch.logaddexp(x, x.flip(1)), lambda x: torch.logaddexp(90 * x, 90 * X.flip(2))),
    "logit": (lambda x: torch.logit(x.sigmoid()), lambda x: torch.logit(x, 0.1)),
    "logsumexp": (lambda x: x.logsumexp(1), lambda x: (99 * x).logsumexp((0, -1), True)),
    "mH": (lambda x: x @ x.mH,),
    "mT": (lambda x: x @ x.mT,),
    "matrix_H": (lambda x: x[0, 0] @ x[0, 0].H,),
    "mse_loss": (lambda x: F.mse_loss(x, X * 0.5), lambda x: F.mse_loss(x, x.flip(1), reduction="sum")),
    "mv": (lambda x: torch.mv(x[0, 0], x[0, 1, 2]), lambda x: torch.mv(x[0, 0], torch.ones(6))),
    "numpy_T": (lambda x: x[0, 0] @ x[0, 0].T,),
    "outer": (lambda x: torch.outer(x[0, 0, 0], x[0, 0, 1]),),
    "pairwise_distance": (lambda x: F.pairwise_distance(x, x.flip(0)), lambda x: F.pairwise_distance(x, X * 2, 1, 0.5, True)),
    "prod": (lambda x: x.prod(2), lambda x: x.prod(-1, True), lambda x: x[0, 0, :2, :2].prod()),
    "ravel": (lambda x: x.ravel(),),
    "row_stack": (lambda x: torch.row_stack([x, x * 2]),),
    "rrelu": (F.rrelu, lambda x: F.rrelu(x, 0.5, 1.0)),
    "sinh": (torch.sinh,),
    "softshrink": (F.softshrink, lambda x: F.softshrink(x, 0.1)),
    "special_logit": (lambda x: torch.special.logit(x.sigmoid()),),
    "std": (lambda x: x.std(1), lambda x: x.std(), lambda x: torch.std(x, (2, 3), correction=0, keepdim=True)),
    "std_mean": (lambda x: torch.std_mean(x, 1)[0] + torch.std_mean(x, 1)[1],),
    "tan": (lambda x: torch.tan(x * 0.25),),
    "tensordot": (lambda x: torch.tensordot(x, torch.ones(6, 3), 1), lambda x: torch.tensordot(x[0], x[1], ([1, 2], [1, 2]))),
    "threshold": (
        lambda x: F.threshold(x, 0.1, 0.1), lambda x: F.threshold(x, 0.1, 0.0), lambda x: F.threshold(x, ONE, 20.0),
    ),
    "trace": (lambda x: x[0, 0].trace(), lambda x: x[0, :, 1].trace()),
    "tril": (lambda x: x.tril(), lambda x: x.tril(-2)),
    "triu": (lambda x: x.triu(1), lambda x: x[0, :, :, 0].triu()),
    "var": (lambda x: x.var((2, 3), unbiased=False), lambda x: x.var(), lambda x: torch.var(x, -1, correction=3, keepdim=True)),
    "var_mean": (lambda x: torch.var_mean(x, (0, 1))[0], lambda x: torch.var_mean(x)[1]),
    "vdot": (lambda x: torch.vdot(x[0, 0, 0], x[0, 0, 1]),),
    "vsplit": (lambda x: torch.vsplit(x, 2)[1],),
    "vstack": (lambda x: torch.vstack([x, x * 2]),),
}  # fmt: skip


class Written(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x) + 0.0 * x.sum()  # never a view or the input itself


def test_every_definition_is_tried() -> None:
    assert sorted(CASES) == sorted(DEFINITIONS)


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_torch_gives(name: str) -> None:
    for function in CASES[name]:
        graph, wanted = import_model(Written(function), X), Written(function)(X)
        for each in (graph, canonicalize(graph)):
            (got,) = evaluate(each, [X.double()], dtype=torch.float64)
            torch.testing.assert_close(got.float(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: F.rrelu(x, training=True), "random"),
        (lambda x: F.celu(x, -1.0), "must be positive"),
        (lambda x: x[:1].var(0), "of 1 elements, 1 of which are lost to the mean"),
        (lambda x: x.flatten().prod(), "a product of 288 factors; supported are up to 16"),
        (lambda x: torch.linalg.matrix_norm(x, 2), "linalg_matrix_norm"),
    ],
)
def test_what_is_not_meant_is_refused_in_the_words_of_the_user(function: Callable[[Tensor], Any], why: str) -> None:
    with pytest.raises(UnsupportedOperation, match=rf"test_definitions.py.*{why}|{why}.*test_definitions.py"):
        import_model(Written(function), X)


def test_writing_through_a_transposed_view_is_followed_and_into_a_diagonal_refused() -> None:
    def turned(x: Tensor) -> Tensor:
        y = x * 2
        y.mT.add_(torch.arange(6.0))
        return y

    def crossed(x: Tensor) -> Tensor:
        y = x * 2
        y.diagonal(dim1=2, dim2=3).mul_(3.0)
        return y

    (got,) = evaluate(import_model(Written(turned), X), [X])
    torch.testing.assert_close(got, Written(turned)(X))
    with pytest.raises(UnsupportedOperation, match="writes into memory that is also read through aten.diagonal"):
        import_model(Written(crossed), X)
