"""Trained networks and real images, from the folder that the environment variable LOWBIT_DATA names."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from lowbit.errors import ConfigError
from lowbit.zoo.cifar import CifarResNet, CifarResNet8
from lowbit.zoo.mobilenet import MobileNetV1
from lowbit.zoo.preprocessing import Preprocessing

__all__ = ["PRETRAINED", "SPLITS", "Pretrained", "data_root", "images", "load_pretrained"]


@dataclass(frozen=True)
class Pretrained:
    """The module that reads the keys of ``models/<name>.safetensors``, what its inputs are, on which
    images it is measured, and its float32 top-1 there (percent, on the split ``eval``)."""

    factory: Callable[[], nn.Module]
    preprocessing: Preprocessing
    dataset: str
    top1: float


_NORMALIZED = Preprocessing(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_RAW = Preprocessing(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_CENTRED = Preprocessing(127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))

PRETRAINED: dict[str, Pretrained] = {
    "cifar10_resnet8_mlperftiny": Pretrained(CifarResNet8, _RAW, "cifar10", 87.32),
    "cifar10_resnet20": Pretrained(lambda: CifarResNet(3), _NORMALIZED, "cifar10", 92.26),
    "cifar10_resnet32": Pretrained(lambda: CifarResNet(5), _NORMALIZED, "cifar10", 92.92),
    "imagenet_mobilenet_v1_075_224": Pretrained(lambda: MobileNetV1(0.75), _CENTRED, "imagenet224", 85.0),
}

SPLITS = ("calib", "eval")


def data_root() -> Path | None:
    """The folder named by LOWBIT_DATA; None where it is not set.  ConfigError where it does not exist."""
    text = os.environ.get("LOWBIT_DATA")
    if not text:
        return None
    if not Path(text).is_dir():
        raise ConfigError(f"LOWBIT_DATA={text} is not a folder")
    return Path(text)


def _file(*parts: str) -> Path:
    root = data_root()
    if root is None:
        raise ConfigError("set LOWBIT_DATA to the folder that holds models/ and dev/")
    path = root.joinpath(*parts)
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; LOWBIT_DATA must name the folder that holds models/ and dev/")
    return path


def load_pretrained(name: str) -> tuple[nn.Module, Preprocessing]:
    """The trained network in evaluation mode and what makes its inputs from pixels.

    Raises ConfigError for an unknown name or missing data.
    """
    if name not in PRETRAINED:
        raise ConfigError(f"no pretrained network {name!r}; known: {', '.join(PRETRAINED)}")
    from safetensors.torch import load_file

    entry = PRETRAINED[name]
    model = entry.factory()
    missing, unexpected = model.load_state_dict(load_file(_file("models", f"{name}.safetensors")), strict=False)
    wrong = [key for key in missing if not key.endswith("num_batches_tracked")] + list(unexpected)
    if wrong:
        raise ConfigError(f"{name}.safetensors does not fit its network: {', '.join(wrong)}")
    return model.eval(), entry.preprocessing


def images(name: str, split: str, batch: int = 100, limit: int | None = None) -> tuple[Iterator[np.ndarray], np.ndarray]:
    """What the pretrained network ``name`` is calibrated (``calib``) or measured (``eval``) on.

    Returns batches of float32 (n, 3, H, W), already preprocessed for it, and all labels as int64;
    ``limit`` takes that many from the front.  Raises ConfigError.
    """
    if name not in PRETRAINED:
        raise ConfigError(f"no pretrained network {name!r}; known: {', '.join(PRETRAINED)}")
    if split not in SPLITS:
        raise ConfigError(f"no split {split!r}; known: {', '.join(SPLITS)}")
    pixels, labels = _READERS[PRETRAINED[name].dataset](split)
    labels = labels[:limit]
    preprocess = PRETRAINED[name].preprocessing
    starts = range(0, len(labels), batch)
    return (preprocess(pixels(start, min(start + batch, len(labels)))) for start in starts), labels


Pixels = Callable[[int, int], np.ndarray]


def _cifar10(split: str) -> tuple[Pixels, np.ndarray]:
    with np.load(_file("dev", f"cifar10_{split}.npz"), allow_pickle=False) as arrays:
        pixels, labels = arrays["images"], arrays["labels"]
    return (lambda start, stop: pixels[start:stop]), labels


def _imagenet224(split: str) -> tuple[Pixels, np.ndarray]:
    with _file("dev", "imagenet224.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["use"] == split]

    def pixels(start: int, stop: int) -> np.ndarray:
        from PIL import Image

        decoded = []
        for row in rows[start:stop]:
            with Image.open(_file("dev", "imagenet224", row["file"])) as image:
                decoded.append(np.asarray(image.convert("RGB")))
        return np.stack(decoded)

    return pixels, np.array([int(row["label"]) for row in rows], np.int64)


_READERS: dict[str, Callable[[str], tuple[Pixels, np.ndarray]]] = {"cifar10": _cifar10, "imagenet224": _imagenet224}
