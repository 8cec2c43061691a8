"""Networks small enough to read: the jet-tagging perceptron (Duarte et al. 2018) and LeNet-5."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["JetMLP", "LeNet5", "lenet5", "mlp_jsc", "mlp_jsc_bn"]


class JetMLP(nn.Module):
    """16-64-32-32-5 with relu between; with batch norm also behind the last layer."""

    def __init__(self, batch_norm: bool) -> None:
        super().__init__()
        sizes = (16, 64, 32, 32, 5)
        self.names = ("fc1", "fc2", "fc3", "out")
        for index, name in enumerate(self.names):
            self.add_module(name, nn.Linear(sizes[index], sizes[index + 1]))
            if batch_norm:
                self.add_module(f"bn{index + 1}", nn.BatchNorm1d(sizes[index + 1], eps=1e-6))
        self.batch_norm = batch_norm

    def forward(self, x: Tensor) -> Tensor:
        for index, name in enumerate(self.names, 1):
            x = self.get_submodule(name)(x)
            if self.batch_norm:
                x = self.get_submodule(f"bn{index}")(x)
            if name != "out":
                x = F.relu(x)
        return x


class LeNet5(nn.Module):
    """LeCun et al. 1998 at 32x32, with relu and max pooling as it is taught today."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


def mlp_jsc() -> JetMLP:
    """4,389 parameters."""
    return JetMLP(batch_norm=False)


def mlp_jsc_bn() -> JetMLP:
    """4,389 parameters and batch norm behind every layer."""
    return JetMLP(batch_norm=True)


def lenet5() -> LeNet5:
    """0.06 M parameters, 0.4 M multiply-adds."""
    return LeNet5()
