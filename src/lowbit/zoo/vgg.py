"""VGG-11 (Simonyan and Zisserman 2014, configuration A), with batch norm or without."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["VGG", "vgg11", "vgg11_bn"]


class VGG(nn.Module):
    """3x3 convolutions, a max pool after each stage, three linear layers."""

    def __init__(self, batch_norm: bool, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for stage in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
            for width in stage:
                layers.append(nn.Conv2d(inputs, width, 3, padding=1))
                layers += [nn.BatchNorm2d(width)] if batch_norm else []
                layers.append(nn.ReLU(inplace=True))
                inputs = width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 49, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def vgg11() -> VGG:
    """132.9 M parameters, 7.6 G multiply-adds at 224; no batch norm."""
    return VGG(batch_norm=False)


def vgg11_bn() -> VGG:
    """132.9 M parameters, 7.6 G multiply-adds at 224."""
    return VGG(batch_norm=True)
