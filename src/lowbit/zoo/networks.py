"""The table of networks; importing it does not import torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NETWORKS", "Network"]


@dataclass(frozen=True)
class Network:
    """``factory``: ``module:function`` that builds it; ``input_shape``: with a batch of 1."""

    name: str
    factory: str
    input_shape: tuple[int, ...]
    description: str


_IMAGENET, _CIFAR = (1, 3, 224, 224), (1, 3, 32, 32)

NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network("cifar_resnet8", "lowbit.zoo.cifar:cifar_resnet8", _CIFAR, "MLPerf Tiny ResNet-8, 0.08 M parameters"),
        Network("cifar_resnet20", "lowbit.zoo.cifar:cifar_resnet20", _CIFAR, "ResNet-20, 0.27 M parameters"),
        Network("cifar_resnet32", "lowbit.zoo.cifar:cifar_resnet32", _CIFAR, "ResNet-32, 0.46 M parameters"),
        Network("cifar_resnet56", "lowbit.zoo.cifar:cifar_resnet56", _CIFAR, "ResNet-56, 0.85 M parameters"),
        Network("densenet121", "lowbit.zoo.densenet:densenet121", _IMAGENET, "DenseNet-121, 8.0 M parameters"),
        Network("densenet_block", "lowbit.zoo.densenet:densenet_block", _CIFAR, "one dense block of four layers"),
        Network("lenet5", "lowbit.zoo.small:lenet5", (1, 1, 32, 32), "LeNet-5, 0.06 M parameters"),
        Network("mlp_jsc", "lowbit.zoo.small:mlp_jsc", (1, 16), "jet tagging 16-64-32-32-5, 4,389 parameters"),
        Network("mlp_jsc_bn", "lowbit.zoo.small:mlp_jsc_bn", (1, 16), "jet tagging 16-64-32-32-5 with batch norm"),
        Network("mobilenet_v1", "lowbit.zoo.mobilenet:mobilenet_v1", _IMAGENET, "MobileNetV1 1.0, 4.2 M parameters"),
        Network("mobilenet_v2", "lowbit.zoo.mobilenet:mobilenet_v2", _IMAGENET, "MobileNetV2 1.0, 3.5 M parameters"),
        Network("resnet18", "lowbit.zoo.resnet:resnet18", _IMAGENET, "ResNet-18, 11.7 M parameters"),
        Network("resnet34", "lowbit.zoo.resnet:resnet34", _IMAGENET, "ResNet-34, 21.8 M parameters"),
        Network("resnet50", "lowbit.zoo.resnet:resnet50", _IMAGENET, "ResNet-50, 25.6 M parameters"),
        Network("squeezenet1_0", "lowbit.zoo.squeezenet:squeezenet1_0", _IMAGENET, "SqueezeNet 1.0, 1.2 M parameters"),
        Network("squeezenet1_1", "lowbit.zoo.squeezenet:squeezenet1_1", _IMAGENET, "SqueezeNet 1.1, 1.2 M parameters"),
        Network("vgg11", "lowbit.zoo.vgg:vgg11", _IMAGENET, "VGG-11, 132.9 M parameters"),
        Network("vgg11_bn", "lowbit.zoo.vgg:vgg11_bn", _IMAGENET, "VGG-11 with batch norm, 132.9 M parameters"),
    )
}
"""Name -> network, in alphabetical order."""
