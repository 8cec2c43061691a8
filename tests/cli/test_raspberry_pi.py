"""The verbs for machines that are not here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_commands import ok, refused, run

X = np.random.default_rng(0).standard_normal((1, 3, 8, 8), np.float32)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pi") / "tiny.lowbit"
    ok("compile", "tests.tiny:network", "--config", "4/int4", "--target", "raspberry-pi-4", "-o", path)
    return path


@pytest.mark.qemu
def test_emulate(artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    y, figures = tmp_path / "y.npy", tmp_path / "figures.json"
    text = ok("emulate", artifact, "--input", tmp_path / "x.npy", "--runs", 2, "-o", y, "--json", figures)
    assert "equals the oracle in every element" in text
    assert "QEMU's time on this machine, not the Raspberry Pi's" in text
    assert np.load(y).shape == (1, 10)
    data = json.loads(figures.read_text())
    assert data["exact"] is True
    assert data["instructions"] > sum(layer["instructions"] for layer in data["layers"]) > 10_000
    assert data["emulated"]["runs"] == 2
    assert f"{data['instructions']:,}" in text


@pytest.mark.qemu
def test_emulate_refuses(artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X[0])
    assert "expected float32 (1, 3, 8, 8), got float32 (3, 8, 8)" in refused("emulate", artifact, "--input", tmp_path / "x.npy")
    assert "does not exist" in refused("emulate", artifact, "--input", tmp_path / "absent.npy")
    assert "unknown board 'zx81'" in refused("emulate", artifact, "--board", "zx81")
    assert "give either --board" in refused("emulate", artifact, "--board", "virt", "--cpu", "cortex-a72")


def test_run_names_the_way_out(artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    assert "lowbit emulate" in refused("run", artifact, tmp_path / "x.npy", "-o", tmp_path / "y.npy")


@pytest.mark.qemu
def test_export(artifact: Path, tmp_path: Path) -> None:
    program, folder = tmp_path / "tiny", tmp_path / "library"
    assert "for raspberry-pi-4" in ok("export", artifact, "--executable", program, "--library", folder)
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md", "libnetwork.a", "libnetwork.so", "main.c", "network.h", "network.weights",
    ]  # fmt: skip
    lines = (folder / "README.md").read_text().splitlines()
    build = next(line for line in lines if line.startswith("aarch64-linux-gnu-gcc") and "-static" in line)
    subprocess.run(f"{build} -Wall -Wextra -Werror", shell=True, check=True, cwd=folder)
    X.tofile(folder / "x.raw")
    qemu = ["qemu-aarch64", "-cpu", "cortex-a72"]
    own = subprocess.run([*qemu, "./main", "network.weights", "x.raw"], cwd=folder, capture_output=True, text=True, check=True)
    subprocess.run([*qemu, program, folder / "x.raw", "-o", tmp_path / "y.npy"], check=True)
    np.testing.assert_array_equal(np.array(own.stdout.split(), np.float32), np.load(tmp_path / "y.npy")[0])


@pytest.mark.board
def test_export_bare_metal(artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    text = ok("export", artifact, "--bare-metal", "raspi4b", tmp_path / "tiny.elf", "--input", tmp_path / "x.npy")
    command = next(line for line in text.splitlines() if line.startswith("run it: ")).removeprefix("run it: ")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 of 10 output values equal" in done.stdout + done.stderr


def test_export_refuses(artifact: Path, tmp_path: Path) -> None:
    assert "say what to write: --executable" in refused("export", artifact)
    assert "cannot write" in refused("export", artifact, "--executable", tmp_path / "no" / "such" / "program")
    assert "unknown board" in refused("export", artifact, "--bare-metal", "zx81", tmp_path / "x.elf")


def test_setup_refuses() -> None:
    assert "unknown 'kitchen'; what can be set up: board" in refused("setup", "kitchen")


@pytest.mark.qemu
def test_bench(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    text = ok("bench", "tests.tiny:network", "--target", "raspberry-pi-5", "--configs", "fp32,8/int8,2/int2", "--json", figures)
    assert "for raspberry-pi-5 under qemu-aarch64" in text
    assert "emulated ms" in text
    rows = json.loads(figures.read_text())["rows"]
    assert [(row["config"], row["exact"]) for row in rows] == [("fp32", None), ("8/int8", True), ("2/int2", True)]
    assert all(row["instructions"] > 1000 and row["macs"] == 175264 for row in rows)


def test_bench_refuses(tmp_path: Path) -> None:
    result = run("bench", "tests.tiny:network", "--target", "raspberry-pi-5", "--report", tmp_path / "report")
    assert result.exit_code == 2
    assert "an emulated bench writes --json and --code-dir" in result.stderr
    assert "run on this machine only" in refused(
        "bench", "tests.tiny:network", "--target", "raspberry-pi-5", "--peers", "onnxruntime"
    )
