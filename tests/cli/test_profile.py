"""``lowbit profile``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.profile import probes
from tests import tiny
from tests.cli.test_commands import ok, refused, run


@pytest.fixture(autouse=True)
def _short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_TRIAL_S", 2e-4)
    monkeypatch.setattr(probes, "_DRAM_BYTES", 1 << 22)
    monkeypatch.setattr(probes, "cache_sizes", lambda target: {"L1": 32 << 10, "L2": 512 << 10})


def test_table_words_json_and_picture(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    out, picture = tmp_path / "out.json", tmp_path / "roof.svg"
    text = ok("profile", artifacts["4/int8"], "--runs", 2, "--threads", 1, "--json", out, "--roofline", picture)
    for sign in (
        "tiny for",
        "1 thread",
        "of peak",
        "body",
        "u4 x i4",
        "of the time:",
        "Time by purpose:",
        f"roofline: {picture}",
    ):
        assert sign in text, sign
    flat = " ".join(text.split())
    assert "1 layer: weights of 4 bits are stored in containers of 8 bits." in flat
    assert "Every layer's output depends on the input (2 inputs tried)." in flat
    data = json.loads(out.read_text())
    assert [o["layer"] for o in data["profile"]["operations"]][-1] == "head"
    assert data["profile"]["operations"][1]["share_of_peak"] > 0
    assert data["signal"]["alive"] is True
    assert data["explanation"]
    assert picture.read_text().startswith("<?xml")


def test_own_inputs_and_no_signal(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 3, 8, 8), np.float32))
    out = tmp_path / "out.json"
    text = ok("profile", artifacts["8/int8"], tmp_path / "x.npy", "--runs", 1, "--threads", 1, "--no-signal", "--json", out)
    assert "inputs tried" not in text
    assert json.loads(out.read_text())["signal"] is None


def test_a_dead_network_says_so(tmp_path: Path) -> None:
    model, example = tiny.dead()
    path = lowbit.compile(model, example, config="1/int1", calibration=[example]).save(tmp_path / "dead.lowbit")
    text = " ".join(ok("profile", path, "--runs", 1, "--threads", 1).split())
    assert "DEAD: this network is dead from layer body" in text
    assert "Its speed says nothing about a working network" in text


def test_against_another_configuration(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ("--against", artifacts["4/int8"], "--runs", 2, "--threads", 1, "--json", out)
    text = " ".join(ok("profile", artifacts["4/int4"], *arguments).split())
    assert "weights take 8 and 4 bits in the file and the same in memory" in text
    data = json.loads(out.read_text())
    assert data["matched"] == 6  # the input, three layers, the pooling, the output
    assert data["against"]["name"] == "tiny"


def test_against_a_different_network(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    import torch

    other = lowbit.compile(torch.nn.Linear(4, 4), torch.zeros(1, 4), name="other").save(tmp_path / "other.lowbit")
    text = " ".join(ok("profile", artifacts["8/int8"], "--against", other, "--runs", 1, "--threads", 1, "--no-signal").split())
    assert "0 of 3 layers of" in text
    assert "They share no layer by name: these are different networks" in text


def test_inputs_that_do_not_fit_the_other_network(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    import torch

    np.save(tmp_path / "x.npy", np.ones((1, 3, 8, 8), np.float32))
    other = lowbit.compile(torch.nn.Linear(4, 4), torch.zeros(1, 4), name="other").save(tmp_path / "other.lowbit")
    result = run("profile", artifacts["8/int8"], tmp_path / "x.npy", "--against", other, "--runs", 1, "--threads", 1)
    assert result.exit_code == 2
    assert "expected shape (1, 4), got (1, 3, 8, 8)" in result.stderr


def test_peaks_of_every_form(artifacts: Mapping[str, Path]) -> None:
    text = ok("profile", artifacts["fp32"], "--peaks", "--runs", 1, "--threads", 1, "--no-signal")
    for sign in ("f32 f32", "u8_portable u8", "read L2", "read DRAM", "GMAC/s", "GB/s"):
        assert sign in text, sign


def test_what_is_refused(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    net, x = artifacts["8/int8"], tmp_path / "x.npy"
    assert "--runs must be at least 1, got 0" in refused("profile", net, "--runs", 0)
    np.save(x, np.zeros((1, 3, 9, 9), np.float32))
    assert "expected shape (1, 3, 8, 8), got (1, 3, 9, 9)" in refused("profile", net, x)
    assert "its name must end in .png or .svg" in refused("profile", net, "--roofline", tmp_path / "a.gif")
    assert "cannot write" in refused("profile", net, "--json", tmp_path / "missing" / "a.json")
    assert "missing.lowbit" in refused("profile", tmp_path / "missing.lowbit")
    assert "missing.lowbit" in refused("profile", net, "--against", tmp_path / "missing.lowbit")
