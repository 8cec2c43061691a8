"""MobileNetV1 (Howard et al. 2017, table 1) and MobileNetV2 (Sandler et al. 2018, table 2)."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MobileNetV1", "MobileNetV2", "mobilenet_v1", "mobilenet_v2"]


class _ConvBnRelu6(nn.Module):
    """relu6(bn(conv(x))); stride 2 pads right and bottom only, as TensorFlow's SAME does for even sizes."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.pad = (0, 1, 0, 1) if stride == 2 else None
        padding = 0 if stride == 2 else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.pad is None else F.pad(x, self.pad)
        return F.relu6(self.bn(self.conv(x)))


class MobileNetV1(nn.Module):
    """Stem, 13 pairs of 3x3 depthwise and 1x1 convolution, mean, linear; widths times ``multiplier``."""

    def __init__(self, multiplier: float = 1.0, classes: int = 1000) -> None:
        super().__init__()
        widths = [int(w * multiplier) for w in (32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)]
        layers: dict[str, nn.Module] = {"conv1": _ConvBnRelu6(3, widths[0], 3, 2)}
        for index, (inputs, outputs) in enumerate(pairwise(widths), 1):
            layers[f"dw{index}"] = _ConvBnRelu6(inputs, inputs, 3, 2 if index in (2, 4, 6, 12) else 1, inputs)
            layers[f"pw{index}"] = _ConvBnRelu6(inputs, outputs, 1)
        self.features = nn.Sequential()
        for name, layer in layers.items():
            self.features.add_module(name, layer)
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)))


def _conv_bn(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """1x1 widening by ``expansion``, 3x3 depthwise, linear 1x1; x is added where the shape is kept."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.use_res_connect = stride == 1 and inputs == outputs
        width = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_conv_bn(inputs, width)]
        layers += [_conv_bn(width, width, 3, stride, width), nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)

    @property
    def residual_norm(self) -> nn.Module | None:
        """The batch norm that ends the residual branch, None where nothing is added."""
        return self.conv[-1] if self.use_res_connect else None

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """(expansion, width, repeats, stride of the first) as in table 2 of the paper."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
        layers: list[nn.Module] = [_conv_bn(3, 32, 3, 2)]
        inputs = 32
        for expansion, width, repeats, stride in table:
            for index in range(repeats):
                layers.append(InvertedResidual(inputs, width, 1 if index else stride, expansion))
                inputs = width
        layers.append(_conv_bn(inputs, 1280))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.adaptive_avg_pool2d(self.features(x), 1)
        return self.classifier(x.flatten(1))


def mobilenet_v1(multiplier: float = 1.0) -> MobileNetV1:
    """4.2 M parameters, 0.57 G multiply-adds at 224 and multiplier 1."""
    return MobileNetV1(multiplier)


def mobilenet_v2() -> MobileNetV2:
    """3.5 M parameters, 0.30 G multiply-adds at 224."""
    return MobileNetV2()
