"""The script for a machine with a GPU, from end to end on the emulated driver."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from benchmarks import gpu
from benchmarks.gpu_device import Device

from lowbit.backend.cuda.object import read_object
from lowbit.emulate.cuda.driver import emulated_gpu

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulated driver is built with g++")


def test_it_finds_what_is_wrong_and_times_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path)
    monkeypatch.setenv("LOWBIT_CUDA_DRIVER", "/nowhere/libcuda.so.1")
    emitted = ["emit", folder, "--target", "cuda-sm80", "--networks", "tests.tiny:network", "--configs", "fp16,8/int8"]
    assert gpu.main([*emitted, "--batches", "1,3", "--cases", "2", "--kinds", "pool,runs,resize"]) == 0
    assert gpu.main(["exact", folder]) == 2
    assert "there is no NVIDIA driver here" in capsys.readouterr().out
    monkeypatch.undo()
    with emulated_gpu("8.6", "9.0", memory_bytes=1 << 30):
        assert gpu.main(["exact", folder]) == 0
        found = json.loads((tmp_path / "exact.json").read_text())
        assert (found["cases"], found["networks"], found["wrong"], found["left"]) == (6, 4, {}, [])
        assert gpu.main(["time", folder, "--runs", "2"]) == 0
        rows = json.loads((tmp_path / "time.json").read_text())["rows"]
        assert {row["batch"] for row in rows} == {1, 3}
        assert all(row["median_ms"] >= row["min_ms"] > 0 < row["event_ms"] for row in rows)
        assert json.loads((tmp_path / "names.json").read_text()) == {"tests.tiny_network": "tests.tiny:network"}
        assert gpu.main(["exact", folder, "--seconds", "0"]) == 0
        assert len(json.loads((tmp_path / "exact.json").read_text())["left"]) == 10
        monkeypatch.setenv("PATH", os.defpath)
        assert gpu.main(["sanitize", folder]) == 1
        assert "not on PATH" in json.loads((tmp_path / "sanitize.json").read_text())["missing"]
        monkeypatch.undo()
        case = next((tmp_path / "kernels").glob("pool-*.case"))
        entry = pickle.loads(case.read_bytes())
        entry["want"] = np.where(entry["want"] == entry["want"].max(), entry["want"] - 1, entry["want"])
        case.write_bytes(pickle.dumps(entry))
        assert gpu.main(["exact", folder]) == 1
        assert list(json.loads((tmp_path / "exact.json").read_text())["wrong"]) == [case.stem]


def test_a_newer_gpu_compiles_ptx(tmp_path: Path) -> None:
    """Cases for an older architecture, whose machine code the GPU does not take."""
    emitted = ["emit", str(tmp_path), "--target", "cuda-sm80", "--networks", "", "--cases", "1", "--kinds", "pool,conv2d"]
    assert gpu.main(emitted) == 0
    with emulated_gpu("8.6", "9.0", memory_bytes=1 << 30):
        newer, older = Device(1), Device(0)
        assert (newer.capability, older.capability) == ((9, 0), (8, 6))
        for path in (tmp_path / "kernels").glob("*.case"):
            entry = pickle.loads(path.read_bytes())
            kernel = read_object(entry["kernel"])
            results = []
            for device in (newer, older):
                with device:
                    results.append(device.run(kernel, entry["memory"], entry["units"]))
            assert np.array_equal(*results, equal_nan=True)


_TOOL = """#!/bin/sh
[ "$1" = --tool ] && [ "$3" = --error-exitcode ] || exit 4
echo "========= $2" >&2
case "$2 $*" in racecheck*) echo "found a race"; exit "$4";; initcheck*--only-kernels*) ;; initcheck*) exit 5;; esac
shift 4
exec "$@"
"""


def test_sanitizers_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a program in the place of compute-sanitizer that takes its arguments, and finds a race."""
    folder, tools = tmp_path / "found", tmp_path / "bin"
    assert gpu.main(["emit", str(folder), "--target", "cuda-sm80", "--networks", "", "--cases", "1", "--kinds", "pool"]) == 0
    tools.mkdir()
    (tools / "compute-sanitizer").write_text(_TOOL)
    (tools / "compute-sanitizer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    root = Path(gpu.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{root / 'src'}:{root}")
    with emulated_gpu("8.6", "9.0", memory_bytes=1 << 30):
        assert gpu.main(["sanitize", str(folder)]) == 1
    found = json.loads((folder / "sanitize.json").read_text())
    assert found["wrong"] == {"racecheck": "exit 9"}
    assert found["left"] == []
    assert all("1 cases of kernels, 0 wrong" in found["said"][tool] for tool in ("memcheck", "initcheck", "synccheck"))
    assert "========= memcheck" in found["said"]["memcheck"]
