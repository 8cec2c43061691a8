"""SqueezeNet 1.0 and 1.1 (Iandola et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Fire", "SqueezeNet", "squeezenet1_0", "squeezenet1_1"]


class Fire(nn.Module):
    """1x1 to ``squeeze`` channels, then 1x1 and 3x3 to ``expand`` channels each, side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        left = self.expand1x1_activation(self.expand1x1(x))
        return torch.cat([left, self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """``pools``: before which of the eight Fire modules a ceil-mode max pool stands."""

    def __init__(self, stem: nn.Conv2d, pools: tuple[int, ...], classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [stem, nn.ReLU(inplace=True)]
        inputs = stem.out_channels
        for index, (squeeze, expand) in enumerate((k, 4 * k) for k in (16, 16, 32, 32, 48, 48, 64, 64)):
            if index in pools:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            layers.append(Fire(inputs, squeeze, expand))
            inputs = 2 * expand
        self.features = nn.Sequential(*layers)
        head = nn.Conv2d(512, classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(), head, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


def squeezenet1_0() -> SqueezeNet:
    """1.25 M parameters, 0.82 G multiply-adds at 224."""
    return SqueezeNet(nn.Conv2d(3, 96, 7, 2), pools=(0, 3, 7))


def squeezenet1_1() -> SqueezeNet:
    """1.24 M parameters, 0.35 G multiply-adds at 224."""
    return SqueezeNet(nn.Conv2d(3, 64, 3, 2), pools=(0, 2, 4))
