"""The network that needs no download."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")

from lowbit import zoo
from lowbit.errors import ConfigError
from lowbit.zoo import digits


def test_splits_share_nothing() -> None:
    calibration, evaluation = (zoo.dataset("digits-cnn", split) for split in ("calib", "eval"))
    assert (calibration.count, evaluation.count) == (1198, 599)
    positions = [np.concatenate([b.positions for b in part.batches()]) for part in (calibration, evaluation)]
    assert not set(positions[0]) & set(positions[1])
    assert np.bincount(evaluation.labels).min() > 40


def test_weights_are_cached_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "_EPOCHS", 1)
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    state = torch.get_rng_state()
    first = digits.trained_weights()
    assert torch.equal(state, torch.get_rng_state())
    (entry,) = (tmp_path / "zoo").iterdir()

    def never() -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr(digits, "_train", never)
        again = digits.trained_weights()
    assert all(torch.equal(first[name], again[name]) for name in first)
    entry.write_bytes(entry.read_bytes()[:-5])
    mended = digits.trained_weights()  # a damaged entry is no entry; one seed, the same weights
    assert all(torch.equal(first[name], mended[name]) for name in first)
    monkeypatch.setattr(digits, "_key", lambda: "other")
    digits.trained_weights()
    assert len(list((tmp_path / "zoo").iterdir())) == 2


def test_it_is_a_network_by_name() -> None:
    model, (x,) = zoo.load_network("digits-cnn", batch=3)
    assert model(x).shape == (3, 10)
    assert zoo.load_preprocessing("digits-cnn") == digits.PREPROCESSING


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    digits._source.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ConfigError, match=r"the digits come with scikit-learn: pip install lowbit\[data\]"):
        zoo.load_pretrained("digits-cnn")
