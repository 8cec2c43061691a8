"""A network small enough to compile in every test that needs a real one."""

from __future__ import annotations

from typing import Any


def module() -> Any:
    """Two convolutions (the second with a residual), pooling, a linear layer."""
    import torch
    from torch import Tensor, nn

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, 1, 1)
            self.body = nn.Conv2d(16, 16, 3, 1, 1)
            self.head = nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.stem(x))
            x = torch.relu(self.body(x) + x)
            return self.head(x.mean((2, 3)))

    torch.manual_seed(0)
    return Tiny().eval()


def network() -> tuple[Any, Any]:
    """The module and its example input, as a factory for the command line may return them."""
    import torch

    return module(), torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(1))


def broken() -> Any:
    """A network of an operation that cannot be compiled."""
    import torch
    from torch import Tensor, nn

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.svd(x)[1]

    return Broken(), torch.zeros((4, 4))


def dead() -> tuple[Any, Any]:
    """A network whose output does not depend on its input: a bias keeps everything below zero."""
    model, example = network()
    model.body.bias.data.fill_(-1000)
    return model, example


def two_inputs() -> tuple[Any, Any]:
    """A network of two inputs."""
    import torch
    from torch import Tensor, nn

    class Sum(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    return Sum(), (torch.zeros(1, 4), torch.zeros(1, 4))


def strange_inputs() -> tuple[Any, Any]:
    """A factory whose example input is no tensor."""
    return module(), "pixels"


def flat_input() -> tuple[Any, Any]:
    """A network whose input has one axis."""
    import torch
    from torch import nn

    return nn.ReLU(), torch.zeros(16)
