"""Shape operations and broadcasts of all ranks, compiled: torch in fp32, the interpreter at 8 and 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.graph.interpreter import interpret

FIVE = (2, 3, 4, 5, 6)


CONSTANTS = {"constants of five axes": ((2, 1, 1, 1, 6), (1, 3, 1, 1, 6), (2, 3, 1, 1, 1))}
NETWORKS: dict[str, tuple[tuple[int, ...], Callable[..., Any]]] = {
    "NCHW to rows": ((1, 4, 2, 3), lambda x: (x.reshape(6, 4), x.reshape(1, 6, 4), x.reshape(2, 4, 3, 1))),
    "rows to NCHW": ((1, 6, 4), lambda x: (x.reshape(1, 4, 2, 3), x.reshape(4, 6) + 1.0)),
    "NCHW to five axes": ((2, 6, 4, 3), lambda x: x.reshape(2, 2, 3, 4, 3).permute(0, 2, 1, 4, 3).reshape(2, 9, 8)),
    "crossing, six axes": ((2, 3, 2, 5, 1, 4), lambda x: (x.reshape(5, 16, 3), x.permute(5, 0, 2, 3, 1, 4).reshape(4, 4, 5, 3))),
    "constants of five axes": (FIVE, lambda x, a, b, c: (x + a, x * b, c - x)),
    "values of five axes": (FIVE, lambda x: (x - x[:, :1], x[:1] * x[:, :, :1, :1], x[:, :, :, :, :1] - x[:, 1:2, :1, :1])),
    "no axes": ((2, 3), lambda x: (x.mean() * 2.0 + 1.0, 1.5 - x.sum(), x.mean() * x)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("config", ["fp32", "8/int8", "16/int16"])
def test_compiled(name: str, config: str) -> None:
    import torch

    shape, function = NETWORKS[name]

    random = torch.Generator().manual_seed(7)

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.constants = [torch.randn(given, generator=random) for given in CONSTANTS.get(name, ())]

        def forward(self, x: Any) -> Any:
            return function(x, *self.constants)

    x, network = torch.randn(shape, generator=random), Network()
    calibration = {} if config == "fp32" else {"calibration": [x]}
    net = lowbit.compile(network, x, config=config, threads=1, progress=False, **calibration)
    outputs, expected = net(x.numpy()), network(x)
    outputs, expected = (given if isinstance(given, tuple | list) else (given,) for given in (outputs, expected))
    if config == "fp32":
        for got, right in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(np.asarray(got), right.numpy(), rtol=1e-5, atol=1e-6)
        return
    for got, integer, right in zip(outputs, interpret(net.graph(), [x.numpy()]), expected, strict=True):
        np.testing.assert_array_equal(np.asarray(got), integer)
        reach = float(right.abs().max())
        np.testing.assert_allclose(integer, right.numpy(), atol=reach * (1e-3 if config == "16/int16" else 0.05))
