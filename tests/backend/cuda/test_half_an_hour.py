"""The script for a machine with a GPU, from end to end on the emulated driver."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from benchmarks import gpu

from lowbit.emulate.cuda.driver import emulated_gpu

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulated driver is built with g++")


def test_it_finds_what_is_wrong_and_times_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path)
    monkeypatch.setenv("LOWBIT_CUDA_DRIVER", "/nowhere/libcuda.so.1")
    emitted = ["emit", folder, "--target", "cuda-sm80", "--networks", "tests.tiny:network", "--configs", "8/int8"]
    assert gpu.main([*emitted, "--batches", "1,3", "--cases", "2", "--kinds", "pool,runs,resize"]) == 0
    assert gpu.main(["exact", folder]) == 2
    assert "there is no NVIDIA driver here" in capsys.readouterr().out
    monkeypatch.undo()
    with emulated_gpu("8.6", "9.0", memory_bytes=1 << 30):
        assert gpu.main(["exact", folder]) == 0
        found = json.loads((tmp_path / "exact.json").read_text())
        assert (found["cases"], found["networks"], found["wrong"], found["left"]) == (6, 2, {}, [])
        assert gpu.main(["time", folder, "--runs", "2"]) == 0
        rows = json.loads((tmp_path / "time.json").read_text())["rows"]
        assert {row["batch"] for row in rows} == {1, 3}
        assert all(row["median_ms"] >= row["min_ms"] > 0 for row in rows)
        assert gpu.main(["exact", folder, "--seconds", "0"]) == 0
        assert len(json.loads((tmp_path / "exact.json").read_text())["left"]) == 8
        if shutil.which("compute-sanitizer") is None:
            assert gpu.main(["sanitize", folder]) == 1
            assert "not on PATH" in json.loads((tmp_path / "sanitize.json").read_text())["missing"]
        case = next((tmp_path / "kernels").glob("pool-*.case"))
        entry = pickle.loads(case.read_bytes())
        entry["want"] = np.where(entry["want"] == entry["want"].max(), entry["want"] - 1, entry["want"])
        case.write_bytes(pickle.dumps(entry))
        assert gpu.main(["exact", folder]) == 1
        assert list(json.loads((tmp_path / "exact.json").read_text())["wrong"]) == [case.stem]
