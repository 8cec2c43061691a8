"""Networks to compile, with seeded weights that keep them alive, and the pretrained ones.

Everything but the table is resolved on first use, so that importing the package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lowbit.zoo.networks import NETWORKS, Network

if TYPE_CHECKING:
    from lowbit.zoo.building import build, example_inputs, load_model, load_network, load_preprocessing, short_name
    from lowbit.zoo.pretrained import data_root, dataset, images, load_pretrained

__all__ = [
    "NETWORKS",
    "Network",
    "build",
    "data_root",
    "dataset",
    "example_inputs",
    "images",
    "load_model",
    "load_network",
    "load_preprocessing",
    "load_pretrained",
    "short_name",
]

_HOME = {
    "build": "lowbit.zoo.building",
    "example_inputs": "lowbit.zoo.building",
    "load_model": "lowbit.zoo.building",
    "load_network": "lowbit.zoo.building",
    "load_preprocessing": "lowbit.zoo.building",
    "data_root": "lowbit.zoo.pretrained",
    "dataset": "lowbit.zoo.pretrained",
    "images": "lowbit.zoo.pretrained",
    "load_pretrained": "lowbit.zoo.pretrained",
    "short_name": "lowbit.zoo.building",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
