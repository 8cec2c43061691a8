"""Functions of one tensor as networks, beside torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowbit.frontend import evaluate, import_model
from lowbit.passes import canonicalize

__all__ = ["gives_what_torch_gives"]


def gives_what_torch_gives(model: nn.Module, x: Tensor, tolerance: float) -> None:
    """Before and after the passes."""
    graph, wanted = import_model(model, x), model(x)
    for each in (graph, canonicalize(graph)):
        (got,) = evaluate(each, [x])
        torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)
