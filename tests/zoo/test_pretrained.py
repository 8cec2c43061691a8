"""The trained networks give the accuracy that comes with them, in float, through the imported graph too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lowbit import zoo
from lowbit.errors import ConfigError
from lowbit.frontend import evaluate, import_model
from lowbit.passes import canonicalize
from lowbit.zoo.pretrained import PRETRAINED
from tests.share import share

CIFAR = [name for name, entry in PRETRAINED.items() if entry.images == "cifar10"]


@pytest.mark.data
@pytest.mark.parametrize("name", CIFAR)
def test_logits_equal_the_reference(name: str, data_root: Path) -> None:
    model, _ = zoo.load_pretrained(name)
    batches, _ = zoo.images(name, "eval", batch=16, limit=16)
    x = torch.from_numpy(next(batches))
    expected = np.load(data_root / "models" / "reference_logits_dev16.npz")[name]
    with torch.inference_mode():
        np.testing.assert_allclose(model(x).numpy(), expected, atol=1e-4)
    (canonical,) = evaluate(canonicalize(import_model(model, x)), [x])
    np.testing.assert_allclose(canonical.numpy(), expected, atol=1e-3)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", share([name for name, entry in PRETRAINED.items() if entry.top1 is not None], 2))
def test_accuracy(name: str) -> None:
    """Top-1 on all images marked eval, in percent, to the last digit given."""
    model, _ = zoo.load_pretrained(name)
    batches, labels = zoo.images(name, "eval", batch=200)
    first = next(batches)
    graph = canonicalize(import_model(model, torch.from_numpy(first)))
    predicted = [evaluate(graph, [torch.from_numpy(batch)])[0].argmax(1).numpy() for batch in (first, *batches)]
    assert round(100 * float((np.concatenate(predicted) == labels).mean()), 2) == PRETRAINED[name].top1


@pytest.mark.data
@pytest.mark.parametrize(("split", "count"), [("calib", 2000), ("eval", 5000), ("calib", 100), ("eval", 400)])
def test_images(split: str, count: int) -> None:
    name = CIFAR[0] if count >= 2000 else "imagenet_mobilenet_v1_075_224"
    batches, labels = zoo.images(name, split, batch=3)
    assert labels.shape == (count,)
    assert labels.dtype == np.int64
    first = next(batches)
    size = 32 if name in CIFAR else 224
    assert first.shape == (3, 3, size, size)
    assert first.dtype == np.float32
    limited, some = zoo.images(name, split, batch=3, limit=5)
    assert [len(batch) for batch in limited] == [3, 2]
    assert np.array_equal(some, labels[:5])


def test_unknown_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for call in (zoo.load_pretrained, lambda name: zoo.images(name, "eval")):
        with pytest.raises(ConfigError, match="no pretrained network 'resnet50'; known: cifar10_resnet8_mlperftiny"):
            call("resnet50")
    with pytest.raises(ConfigError, match="no split 'train'; known: calib, eval"):
        zoo.images(CIFAR[0], "train")


def test_missing_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LOWBIT_DATA", raising=False)
    assert zoo.data_root() is None
    with pytest.raises(ConfigError, match="set LOWBIT_DATA to the folder"):
        zoo.load_pretrained(CIFAR[0])
    monkeypatch.setenv("LOWBIT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        zoo.data_root()
    monkeypatch.setenv("LOWBIT_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="does not exist; LOWBIT_DATA must name"):
        zoo.images(CIFAR[0], "eval")


def test_wrong_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    (tmp_path / "models").mkdir()
    save_file({"other.weight": torch.zeros(1)}, tmp_path / "models" / f"{CIFAR[0]}.safetensors")
    monkeypatch.setenv("LOWBIT_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match=r"does not fit its network: conv0.weight.*other.weight"):
        zoo.load_pretrained(CIFAR[0])
