"""Networks of the kinds that people report bugs about, and how each is checked: see the tables in test_reported_*.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.end_to_end.check import agrees, as_tuple, build

__all__ = ["Net", "Reported", "Table", "alive", "cosine", "error", "float_outputs", "inputs_of"]


class Net(nn.Module):
    """``forward(self, *inputs)`` with layers, parameters and (plain tensors) buffers as its attributes."""

    def __init__(self, forward: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self, *inputs)


def alive(model: nn.Module, seed: int) -> nn.Module:
    """Weights that keep the signal's size, batch norms with statistics and weights of their own, evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)):
                layer.weight.normal_(0, math.sqrt(2 / layer.weight[0].numel()), generator=generator)
                if layer.bias is not None:
                    layer.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
                layer.running_mean.normal_(0, 0.3, generator=generator)
                layer.running_var.uniform_(0.5, 3.0, generator=generator)
                if layer.affine:
                    layer.weight.uniform_(0.5, 1.5, generator=generator)
                    layer.bias.normal_(0, 0.3, generator=generator)
    return model.eval()


@dataclass(frozen=True)
class Reported:
    """``make()``: (module, inputs).  ``error``: bound of ||lowbit - float|| / ||float|| at 16 bits, ``cosine``: least at 8
    bits, for every output; ``widths``: further ones, at which integers must be equal and finite."""

    make: Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]
    error: float
    cosine: float
    widths: tuple[str, ...]


class Table(dict[str, Reported]):
    """Filled by decorating the functions that make the networks; ``cases()`` are (name, width) for parametrize."""

    def add(self, error: float = 1e-2, cosine: float = 0.99, widths: tuple[str, ...] = ("4/int4",)) -> Callable[[Any], Any]:
        def register(make: Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]) -> Any:
            self[make.__name__] = Reported(make, error, cosine, widths)
            return make

        return register

    def cases(self) -> list[Any]:
        widths = {name: ("fp32", "16/int16", "8/int8", *case.widths) for name, case in self.items()}
        return [pytest.param(name, width, id=f"{name}-{width}") for name in self for width in widths[name]]

    def check(self, name: str, width: str) -> None:
        """Equal to the oracle integer for integer, finite, near the float network; also far outside the calibrated ranges."""
        case = self[name]
        model, inputs = case.make()
        network = build(model, inputs, config=width, threads=1)
        wanted = float_outputs(model, inputs)
        arrays = inputs_of(inputs)
        if width == "fp32":
            for got, want in zip(as_tuple(network(*arrays)), wanted, strict=True):
                assert error(got, want) < 1e-4
            return
        for got, want in zip(agrees(network, *arrays), wanted, strict=True):
            assert np.isfinite(got).all()
            if width == "16/int16":
                assert error(got, want) < case.error
            if width == "8/int8":
                assert cosine(got, want) > case.cosine
        assert all(np.isfinite(got).all() for got in agrees(network, *(-50 * array for array in arrays)))


def inputs_of(inputs: tuple[Tensor, ...]) -> tuple[np.ndarray, ...]:
    return tuple(np.ascontiguousarray(value.numpy()) for value in inputs)


def float_outputs(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[np.ndarray]:
    with torch.no_grad():
        outputs = model(*(value.clone() for value in inputs))
    return [value.double().numpy() for value in (outputs if isinstance(outputs, tuple) else (outputs,))]


def error(got: np.ndarray, want: np.ndarray) -> float:
    """||got - want|| / ||want||."""
    assert got.shape == want.shape
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def cosine(got: np.ndarray, want: np.ndarray) -> float:
    assert got.shape == want.shape
    return float(np.vdot(got, want) / np.linalg.norm(got) / np.linalg.norm(want))
