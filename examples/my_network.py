"""Compile a network of your own: python examples/my_network.py

Any ``torch.nn.Module`` works the same way.  The same from the shell:

    lowbit compile examples.my_network:network --weights i4 --activations u8 -o my_network.lowbit
    lowbit inspect my_network.lowbit
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

import lowbit


class Network(nn.Module):
    """A small image classifier with a residual connection."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32))
        self.head = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.body(x))
        return self.head(x.mean((2, 3)))


def network() -> tuple[nn.Module, Tensor]:
    """The module and an input that fixes its shapes: what ``lowbit compile`` expects of a factory."""
    torch.manual_seed(0)
    return Network().eval(), torch.randn(1, 3, 64, 64)


def main() -> None:
    model, example = network()
    samples = [torch.randn(1, 3, 64, 64) for _ in range(16)]  # your own images here
    compiled = lowbit.compile(model, example, weights="i4", activations="u8", calibration=samples)
    compiled.save("my_network.lowbit")

    again = lowbit.load("my_network.lowbit")  # needs numpy only, neither torch nor TVM
    x = samples[0].numpy()
    assert np.array_equal(again(x), compiled(x))
    print("float32:", model(samples[0])[0, :4].tolist())
    print("4-bit:  ", again(x)[0, :4].tolist())


if __name__ == "__main__":
    main()
