"""Tuning on a GPU: of what is measured it is known on which GPU that was; without one it says so before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.emulate.cuda.driver import emulated_gpu
from lowbit.errors import ConfigError
from lowbit.graph.interpreter import interpret
from lowbit.tuning import database
from tests import tiny

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulated driver is built with g++")


def test_what_is_measured_is_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "tuning_folder", lambda: tmp_path)
    monkeypatch.setenv("LOWBIT_TUNING", "on")
    model, x = tiny.network()
    words = {"weights": "i8", "activations": "u8", "calibration": [x], "progress": False}
    with emulated_gpu("8.6", "9.0", memory_bytes=1 << 30):
        report = lowbit.tune(model, x, **words, target="cuda-sm80", seconds=5, trials=2, pattern="stem")
        assert [row.layers for row in report.rows] == [("stem",)]
        (file,) = tmp_path.glob("*.jsonl")
        assert json.loads(file.read_text().splitlines()[0])["cpu"] == "emulated GPU 0"
        net = lowbit.compile(model, x, **words, target="cuda-sm80")
        assert {layer["name"]: layer["tuned"] for layer in net.layers if layer["tuned"] is not None} == {
            "stem": True,
            "body": False,
            "head": False,
        }
        np.testing.assert_array_equal(net(x.numpy()), interpret(net.graph(), [x.numpy()])[0])
    monkeypatch.setenv("LOWBIT_CUDA_DRIVER", "/nowhere/libcuda.so.1")
    elsewhere = lowbit.compile(model, x, **words, target="cuda-sm80")
    assert not any(layer["tuned"] for layer in elsewhere.layers)


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CUDA_DRIVER", "/nowhere/libcuda.so.1")
    with pytest.raises(ConfigError, match=r"which cannot run cuda-sm80, a GPU; there is no NVIDIA driver here \(.*\); tune on a"):
        lowbit.tune(object(), target="cuda-sm80")
