"""Residual networks for 32x32 pictures: ResNet-20/32/56 (He et al. 2015, section 4.2) and MLPerf Tiny's ResNet-8."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CifarResNet", "CifarResNet8", "cifar_resnet8", "cifar_resnet20", "cifar_resnet32", "cifar_resnet56"]


class _Block(nn.Module):
    """relu(shortcut(x) + bn(conv(relu(bn(conv(x))))))."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.extra = (width - inputs) // 2 if stride != 1 or inputs != width else None

    def shortcut(self, x: Tensor) -> Tensor:
        """Option A: every second row and column, zero channels before and after; no parameters."""
        if self.extra is None:
            return x
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra, self.extra))

    @property
    def residual_norm(self) -> nn.Module:
        """The batch norm that ends the residual branch."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class CifarResNet(nn.Module):
    """3x3 stem, three stages of ``count`` blocks at widths 16, 32, 64, mean, linear: 6 * count + 2 layers."""

    def __init__(self, count: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inputs = 16
        for stage, width in enumerate((16, 32, 64)):
            blocks: list[nn.Module] = []
            for index in range(count):
                blocks.append(_Block(inputs, width, 2 if stage and not index else 1))
                inputs = width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class CifarResNet8(nn.Module):
    """The reference network of MLPerf Tiny with batch norm folded; reads pixels 0..255."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 16, 3, padding=1)
        self.s1a = nn.Conv2d(16, 16, 3, padding=1)
        self.s1b = nn.Conv2d(16, 16, 3, padding=1)
        self.s2a = nn.Conv2d(16, 32, 3, 2)
        self.s2b = nn.Conv2d(32, 32, 3, padding=1)
        self.s2d = nn.Conv2d(16, 32, 1, 2)
        self.s3a = nn.Conv2d(32, 64, 3, 2)
        self.s3b = nn.Conv2d(64, 64, 3, padding=1)
        self.s3d = nn.Conv2d(32, 64, 1, 2)
        self.fc = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv0(x))
        x = F.relu(x + self.s1b(F.relu(self.s1a(x))))
        x = F.relu(self.s2d(x) + self.s2b(F.relu(self.s2a(F.pad(x, (0, 1, 0, 1))))))
        x = F.relu(self.s3d(x) + self.s3b(F.relu(self.s3a(F.pad(x, (0, 1, 0, 1))))))
        return self.fc(x.mean((2, 3)))


def cifar_resnet8() -> CifarResNet8:
    """0.08 M parameters, 12.5 M multiply-adds."""
    return CifarResNet8()


def cifar_resnet20() -> CifarResNet:
    """0.27 M parameters, 41 M multiply-adds."""
    return CifarResNet(3)


def cifar_resnet32() -> CifarResNet:
    """0.46 M parameters, 69 M multiply-adds."""
    return CifarResNet(5)


def cifar_resnet56() -> CifarResNet:
    """0.85 M parameters, 125 M multiply-adds."""
    return CifarResNet(9)
