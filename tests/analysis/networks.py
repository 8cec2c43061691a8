"""A network with a layer that suffers and channels that say nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Uneven(nn.Module):
    """The weights of ``fragile`` have one outlier each; channel 3 of ``quiet`` is constant."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1)
        self.fragile = nn.Conv2d(8, 8, 3, 1, 1)
        self.quiet = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.fragile(x) + x)
        return self.head(torch.relu(self.quiet(x)).mean((2, 3)))


def uneven() -> Uneven:
    torch.manual_seed(0)
    model = Uneven().eval()
    with torch.no_grad():
        model.fragile.weight[:, 0, 0, 0] = 2.0
        model.quiet.weight[3], model.quiet.bias[3] = 0.0, 0.5
    return model


def samples(rows: int = 48) -> tuple[Tensor, Tensor]:
    x = torch.randn((rows, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, uneven()(x).argmax(-1)
