"""Peers run the same network and give the same answers."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit.errors import ConfigError, ToolMissing
from lowbit.measure.accuracy import cosine
from lowbit.measure.peers import PEERS, build_models, build_peers, check_peers, load_peers, table


def test_unknown_peer_names_the_known() -> None:
    with pytest.raises(ConfigError, match="unknown peer 'tensorrt'; known peers: onnxruntime, openvino"):
        check_peers(["tensorrt"])


@pytest.mark.parametrize("name", PEERS)
def test_missing_package_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "find_spec", lambda package: None if package == name else object())
    with pytest.raises(ToolMissing, match=rf"peer {name} needs {name}; pip install 'lowbit\[peers\]'"):
        check_peers([name])


def test_no_peers_need_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "find_spec", lambda package: None)
    assert build_peers([], None, np.zeros(1), [], 1, tmp_path) == []


@pytest.mark.peers
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_peer_equals_torch_in_float_and_nearly_in_int8(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    import torch
    from torch import nn

    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 5)).eval()
    samples = [np.random.default_rng(seed).standard_normal((1, 3, 16, 16), np.float32) for seed in range(4)]
    want = model(torch.from_numpy(samples[0])).detach().numpy()
    full, narrow = build_peers([name], model, samples[0], samples, 1, tmp_path)
    assert (full.config, narrow.config) == (f"{name}/fp32", f"{name}/int8")
    np.testing.assert_allclose(full.run(samples[0]), want, atol=1e-4)
    assert cosine(narrow.run(samples[0]), want) > 0.98
    assert not np.array_equal(narrow.run(samples[0]), full.run(samples[0]))
    assert full.bytes > narrow.bytes
    assert not full.note
    assert narrow.note.startswith("onnxruntime's static quantizer")


@pytest.mark.peers
def test_nncf_quantizes_once_for_all_numbers_of_threads(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    import torch
    from torch import nn

    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 5)).eval()
    samples = [np.random.default_rng(seed).standard_normal((1, 3, 16, 16), np.float32) for seed in range(4)]
    want = model(torch.from_numpy(samples[0])).detach().numpy()
    models = build_models(model, samples[0], samples, tmp_path)
    (one,) = load_peers(["nncf"], models, 1)
    written = (tmp_path / "nncf.xml").stat().st_mtime_ns
    (two,) = load_peers(["nncf"], models, 2)
    assert (tmp_path / "nncf.xml").stat().st_mtime_ns == written
    assert one.config == "openvino/int8-nncf"
    assert "NNCF" in one.note
    assert one.bytes == two.bytes > 1000
    assert cosine(one.run(samples[0]), want) > 0.98
    np.testing.assert_array_equal(one.run(samples[0]), two.run(samples[0]))
