"""Trained networks and real images: from the folder that the environment variable LOWBIT_DATA names, or made on the spot."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from lowbit.data import Dataset, Indexed, Preprocessing, from_npz
from lowbit.data.folder import read_image
from lowbit.errors import ConfigError
from lowbit.zoo import digits
from lowbit.zoo.cifar import CifarResNet, CifarResNet8
from lowbit.zoo.mobilenet import MobileNetV1

__all__ = ["PRETRAINED", "SPLITS", "Pretrained", "data_root", "dataset", "images", "load_pretrained"]


@dataclass(frozen=True)
class Pretrained:
    """``factory``: the module; ``preprocessing``: what its inputs are; ``images``: name in the table of images it is measured on;
    ``input_shape``: of one image; ``top1``: its float32 top-1 there (percent, on the split ``eval``), None where it is trained
    anew; ``weights``: its state by its name; ``needs_data``: whether LOWBIT_DATA must be set."""

    factory: Callable[[], nn.Module]
    preprocessing: Preprocessing
    images: str
    input_shape: tuple[int, ...]
    top1: float | None
    weights: Callable[[str], Mapping[str, Tensor]]
    needs_data: bool = True


def _stored(name: str) -> Mapping[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(_file("models", f"{name}.safetensors"))


_NORMALIZED = Preprocessing(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_RAW = Preprocessing(1.0)
_CENTRED = Preprocessing(127.5, (1.0,), (1.0,))
_CIFAR, _IMAGENET = (3, 32, 32), (3, 224, 224)

PRETRAINED: dict[str, Pretrained] = {
    "cifar10_resnet8_mlperftiny": Pretrained(CifarResNet8, _RAW, "cifar10", _CIFAR, 87.32, _stored),
    "cifar10_resnet20": Pretrained(lambda: CifarResNet(3), _NORMALIZED, "cifar10", _CIFAR, 92.26, _stored),
    "cifar10_resnet32": Pretrained(lambda: CifarResNet(5), _NORMALIZED, "cifar10", _CIFAR, 92.92, _stored),
    "imagenet_mobilenet_v1_075_224": Pretrained(lambda: MobileNetV1(0.75), _CENTRED, "imagenet224", _IMAGENET, 85.0, _stored),
    "digits-cnn": Pretrained(
        digits.DigitsCNN, digits.PREPROCESSING, "digits", (1, 8, 8), None, lambda _: digits.trained_weights(), needs_data=False
    ),
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


def _entry(name: str) -> Pretrained:
    if name not in PRETRAINED:
        raise ConfigError(f"no pretrained network {name!r}; known: {', '.join(PRETRAINED)}")
    return PRETRAINED[name]


def load_pretrained(name: str) -> tuple[nn.Module, Preprocessing]:
    """The trained network in evaluation mode and what makes its inputs from pixels.

    Raises ConfigError for an unknown name or missing data.
    """
    entry = _entry(name)
    model = entry.factory()
    missing, unexpected = model.load_state_dict(entry.weights(name), strict=False)
    wrong = [key for key in missing if not key.endswith("num_batches_tracked")] + list(unexpected)
    if wrong:
        raise ConfigError(f"{name}.safetensors does not fit its network: {', '.join(wrong)}")
    return model.eval(), entry.preprocessing


def dataset(name: str, split: str) -> Dataset:
    """What the pretrained network ``name`` is calibrated (``calib``) or measured (``eval``) on, preprocessed for it; the two
    share no image.  A prefix is a fair sample.  Raises ConfigError."""
    entry = _entry(name)
    if split not in SPLITS:
        raise ConfigError(f"no split {split!r}; known: {', '.join(SPLITS)}")
    return _IMAGES[entry.images](split, entry.preprocessing)


def images(name: str, split: str, batch: int = 100, limit: int | None = None) -> tuple[Iterator[np.ndarray], np.ndarray]:
    """:func:`dataset` as batches of float32 (n, C, H, W) and all labels as int64; ``limit`` takes that many from the front."""
    chosen = dataset(name, split).take(limit)
    labels = chosen.labels
    assert labels is not None
    return (one.inputs[0] for one in chosen.batches(batch)), labels


def _cifar10(split: str, preprocessing: Preprocessing) -> Dataset:
    return Dataset(from_npz(_file("dev", f"cifar10_{split}.npz")), preprocessing)


def _imagenet224(split: str, preprocessing: Preprocessing) -> Dataset:
    with _file("dev", "imagenet224.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["use"] == split]

    def fetch(positions: np.ndarray) -> tuple[list[np.ndarray]]:
        return ([read_image(_file("dev", "imagenet224", rows[i]["file"]), 3) for i in positions],)

    labels = np.array([int(row["label"]) for row in rows], np.int64)
    text = f"ImageNet photographs marked {split}: {len(rows):,} images"
    return Dataset(Indexed(text, labels, fetch, lambda position: rows[position]["file"]), preprocessing)


_IMAGES: dict[str, Callable[[str, Preprocessing], Dataset]] = {
    "cifar10": _cifar10,
    "imagenet224": _imagenet224,
    "digits": lambda split, _: digits.digits(split),
}
