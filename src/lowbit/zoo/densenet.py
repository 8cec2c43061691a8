"""DenseNet-121 (Huang et al. 2016, table 1), and one dense block of it as a small network."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DenseBlock", "DenseBlockNet", "DenseLayer", "DenseNet", "densenet121", "densenet_block"]


class DenseLayer(nn.Module):
    """bn, relu, 1x1 to 4 * growth, bn, relu, 3x3 to growth, on all maps so far joined."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = self.conv1(self.relu1(self.norm1(torch.cat(maps, 1))))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseBlock(nn.Module):
    """Each layer reads the input and the outputs of all layers before it."""

    def __init__(self, count: int, inputs: int, growth: int) -> None:
        super().__init__()
        for index in range(count):
            self.add_module(f"denselayer{index + 1}", DenseLayer(inputs + index * growth, growth))

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self.children():
            maps.append(layer(maps))
        return torch.cat(maps, 1)


def _transition(inputs: int, outputs: int) -> nn.Sequential:
    layers = {
        "norm": nn.BatchNorm2d(inputs),
        "relu": nn.ReLU(inplace=True),
        "conv": nn.Conv2d(inputs, outputs, 1, bias=False),
        "pool": nn.AvgPool2d(2, 2),
    }
    return nn.Sequential(OrderedDict(layers))


class DenseNet(nn.Module):
    """Stem, dense blocks with halving transitions between them, mean, linear."""

    def __init__(self, growth: int, blocks: tuple[int, ...], inputs: int, classes: int = 1000) -> None:
        super().__init__()
        stem = {
            "conv0": nn.Conv2d(3, inputs, 7, 2, 3, bias=False),
            "norm0": nn.BatchNorm2d(inputs),
            "relu0": nn.ReLU(inplace=True),
            "pool0": nn.MaxPool2d(3, 2, 1),
        }
        self.features = nn.Sequential(OrderedDict[str, nn.Module](stem))
        for index, count in enumerate(blocks):
            self.features.add_module(f"denseblock{index + 1}", DenseBlock(count, inputs, growth))
            inputs += count * growth
            if index + 1 < len(blocks):
                self.features.add_module(f"transition{index + 1}", _transition(inputs, inputs // 2))
                inputs //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(inputs))
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.features(x), inplace=True)
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


class DenseBlockNet(nn.Module):
    """Convolution, one dense block, batch norm, relu, mean, linear."""

    def __init__(self, count: int = 4, inputs: int = 16, growth: int = 8, classes: int = 10) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, inputs, 3, padding=1, bias=False)
        self.block = DenseBlock(count, inputs, growth)
        self.norm = nn.BatchNorm2d(inputs + count * growth)
        self.classifier = nn.Linear(inputs + count * growth, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.relu(self.norm(self.block(self.conv0(x)))).mean((2, 3)))


def densenet121() -> DenseNet:
    """8.0 M parameters, 2.9 G multiply-adds at 224."""
    return DenseNet(32, (6, 12, 24, 16), 64)


def densenet_block() -> DenseBlockNet:
    """A dense block of four layers at 32x32: joins, and batch norms that cannot be folded."""
    return DenseBlockNet()
