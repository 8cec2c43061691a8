"""benchmarks/load.py and benchmarks/scaling.py: what they compute, and that their processes run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.runtime.toy import toy_compiled

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_load_measures_python_and_c(tmp_path: Path) -> None:
    load = script("load")
    network, _ = toy_compiled(n=3000, k=3000, layers=1)
    path = network.save(tmp_path / "toy.lowbit")
    x = np.ones((1, 3000), np.float32)
    np.save(tmp_path / "x.npy", x)
    x.tofile(tmp_path / "x.raw")
    todo = [
        load.python_subject("lowbit", "8/int8", path, 2, tmp_path / "x.npy"),
        load.c_subject(network, "8/int8", tmp_path / "c", 2, tmp_path / "x.raw"),
    ]
    python, c = load.rows_of(todo, 2)
    assert len(python["samples"]) == 2
    for row in (python, c):
        assert 0 < row["load_ms"] < 5000
        assert 0 < row["first_run_ms"] < 5000
    assert python["peak_bytes"] > python["numpy_bytes"] + 9_000_000, "9 MB of weights on top of numpy"
    assert 9_000_000 < c["peak_bytes"] < 30_000_000
    assert load.table([python, c]).count("\n") == 3


def test_load_says_what_went_wrong(tmp_path: Path) -> None:
    load = script("load")
    np.save(tmp_path / "x.npy", np.ones(1))
    (tmp_path / "no.lowbit").write_bytes(b"nothing")
    with pytest.raises(load.LowbitError, match=r"(?s)lowbit 8/int8 failed: .*is not a lowbit artifact"):
        load.measure(load.python_subject("lowbit", "8/int8", tmp_path / "no.lowbit", 1, tmp_path / "x.npy"))


def test_scaling_fits_straight_lines(tmp_path: Path) -> None:
    scaling = script("scaling")
    points = [scaling.Point("c", 1, 10 * i, i * 10**9, 0.5 + 2.0 * i) for i in (1, 2, 5, 40)]
    line = scaling.fit("c", points)
    assert line.fixed_ms == pytest.approx(0.5)
    assert line.ms_per_gmac == pytest.approx(2.0)
    assert 0.9 < line.exponent < 1
    faster_than_linear = [scaling.Point("c", 1, 10, i * 10**9, i**1.5) for i in (1, 2, 5)]
    assert scaling.fit("c", faster_than_linear).fixed_ms == 0, "no negative time for no work"
    assert scaling.fit("c", faster_than_linear).exponent == pytest.approx(1.5)
    pytest.importorskip("matplotlib")
    for _ in range(2):
        scaling.chart("title", points, [line], tmp_path / "images" / "scaling.svg")
        written = (tmp_path / "images" / "scaling.svg").read_text()
    assert "<svg" in written
    scaling.chart("title", points, [line], tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == written
