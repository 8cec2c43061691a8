"""A network as a program: what it computes, what it prints, and how it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.backend.program import build_program
from lowbit.export.library import export_executable
from lowbit.export.parts import parts_of
from lowbit.graph.interpreter import interpret
from lowbit.runtime.compiled import Compiled

Run = Callable[..., subprocess.CompletedProcess[str]]
X = np.random.default_rng(0).standard_normal((1, 3, 8, 8), np.float32)


@pytest.fixture(scope="module")
def network(artifacts: Mapping[str, Path]) -> Compiled:
    return lowbit.load(artifacts["4/int4"])


@pytest.fixture(scope="module")
def program(network: Compiled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_executable(network, tmp_path_factory.mktemp("program") / "tiny")


@pytest.fixture
def run(program: Path, tmp_path: Path) -> Run:
    np.save(tmp_path / "x.npy", X)
    X.tofile(tmp_path / "x.raw")

    def start(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return start


def test_needs_nothing_beside_it(program: Path) -> None:
    said = subprocess.run(["ldd", program], capture_output=True, text=True)
    assert "not a dynamic executable" in said.stdout + said.stderr


@pytest.mark.parametrize(("given", "written"), [("x.npy", "y.npy"), ("x.raw", "y.raw"), ("x.npy", "y.raw")])
def test_computes_what_the_oracle_does(run: Run, network: Compiled, tmp_path: Path, given: str, written: str) -> None:
    done = run(given, "-o", written, "--threads", 2)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    path = tmp_path / written
    y = np.load(path) if written.endswith(".npy") else np.fromfile(path, np.float32).reshape(1, 10)
    np.testing.assert_array_equal(y, interpret(network.graph(), [X])[0])


def test_prints_the_largest_values(run: Run, network: Compiled) -> None:
    y = network(X)[0]
    name, _, values = run("x.npy").stdout.strip().partition(" [1, 10], largest: ")
    assert name == network.manifest["outputs"][0]["name"]
    indices = [int(text.strip("[]")) for text in values.split()[::2]]
    assert indices == list(np.argsort(-y, kind="stable")[:5])
    np.testing.assert_array_equal(np.array(values.split()[1::2], np.float32), y[indices])


def test_times_every_layer(run: Run, network: Compiled) -> None:
    done = run("x.npy", "--runs", 5)
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["layer", "median", "ms", "%", "MACs", "GMAC/s"]
    layers = network.manifest["layers"]
    assert [row.split()[0] for row in rows[: len(layers)]] == [layer["name"] for layer in layers]
    assert rows[len(layers)].startswith(f"tiny for {network.manifest['target']['name']}, ")
    assert "5 runs: mean" in rows[len(layers)]


def test_json(run: Run, network: Compiled) -> None:
    report = json.loads(run("x.npy", "--runs", 3, "--json", "--threads", 1).stdout)
    assert (report["network"], report["runs"], report["threads"]) == ("tiny", 3, 1)
    assert 0 < report["min_ms"] <= report["median_ms"] <= report["max_ms"]
    assert [(e["layer"], e["kernel"], e["macs"]) for e in report["layers"]] == [
        (e["name"], e["kernel"], e["macs"]) for e in network.manifest["layers"]
    ]


def test_random_inputs_are_the_same_each_time(run: Run) -> None:
    first, again, other = run("--random", 1), run("--random", 1), run("--random", 2)
    assert first.returncode == 0
    assert first.stdout == again.stdout
    assert first.stdout != other.stdout


def test_inputs_that_are_no_numbers_are_mentioned_and_computed(run: Run, network: Compiled, tmp_path: Path) -> None:
    x = X.copy()
    x[0, 0, 0, :2] = np.nan, np.inf
    np.save(tmp_path / "strange.npy", x)
    done = run("strange.npy", "-o", "y.npy")
    assert done.returncode == 0
    assert "strange.npy holds 2 values that are NaN or infinite" in done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), interpret(network.graph(), [x])[0])


def test_help(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    for text in ("usage: tiny [options] INPUT", "[1, 3, 8, 8]", "[1, 10]", "exit status", "--threads"):
        assert text in done.stdout


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "cannot be read: No such file"),
    "folder": (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    "empty": (lambda path: path.write_bytes(b""), "holds less than the 192 float32 values (768 bytes) of input"),
    "short": (lambda path: path.write_bytes(bytes(764)), "the file has 764 bytes"),
    "long": (lambda path: path.write_bytes(bytes(772)), "holds more than"),
    "other shape": (lambda path: np.save(path.open("wb"), X[0]), "has shape (3, 8, 8), expected [1, 3, 8, 8]"),
    "other rank": (lambda path: np.save(path.open("wb"), X.reshape(-1)), "has shape (192,), expected [1, 3, 8, 8]"),
    "double": (lambda path: np.save(path.open("wb"), X.astype(np.float64)), "holds <f8 values, expected float32"),
    "big-endian": (lambda path: np.save(path.open("wb"), X.astype(">f4")), "holds >f4 values, expected float32"),
    "Fortran": (lambda path: np.save(path.open("wb"), np.asfortranarray(X)), "is in Fortran order"),
    "half a header": (lambda path: path.write_bytes(b"\x93NUMPY\1\0\x76\0{'descr': "), "is truncated"),
    "half the values": (lambda path: _half(path), "holds less than"),
}


def _half(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, X)
        file.truncate(500)


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_do_not_fit(run: Run, tmp_path: Path, name: str) -> None:
    make, said = BAD_FILES[name]
    make(tmp_path / "bad.npy")
    done = run("bad.npy", "-o", "y.npy")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("tiny: bad.npy: ")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert not (tmp_path / "y.npy").exists()


def test_an_output_that_cannot_be_written(run: Run) -> None:
    done = run("x.npy", "-o", "no/such/folder.npy")
    assert (done.returncode, done.stderr) == (1, "tiny: no/such/folder.npy: cannot be written: No such file or directory\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "1 input files expected, 0 given"),
        (("x.npy", "x.npy"), "1 input files expected, 2 given"),
        (("x.npy", "--random", "1"), "0 input files expected, 1 given"),
        (("x.npy", "--runs", "0"), "--runs takes a number from 1 to 1000000, not 0"),
        (("x.npy", "--threads", "many"), "--threads takes a number from 1 to 1024, not many"),
        (("x.npy", "--fast"), "--help"),
    ],
)
def test_wrong_options(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_missing_feature_is_named(network: Compiled, tmp_path: Path) -> None:
    parts = parts_of(network)
    target = replace(parts.target, features=parts.target.features | {"telepathy"})
    program = tmp_path / "program"
    program.write_bytes(build_program(parts.program, parts.kernels, parts.weights, target))
    program.chmod(0o755)
    done = subprocess.run([program, "--random", "1"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"tiny was compiled for {target.name}; this CPU lacks telepathy\n"


def test_stripping(program: Path, network: Compiled, tmp_path: Path) -> None:
    small = export_executable(network, tmp_path / "small", strip=True)
    assert small.stat().st_size < program.stat().st_size
    kernel = network.manifest["layers"][1]["kernel"].encode()

    def symbols(path: Path) -> bytes:
        return subprocess.run(["nm", path], capture_output=True, check=False).stdout

    assert kernel in symbols(program)
    assert kernel not in symbols(small)
    assert subprocess.run([small, "--random", "1"], capture_output=True).returncode == 0


class Pair(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x + y, x - y


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    x, y = torch.arange(6.0).reshape(2, 3), torch.ones(2, 3)
    network = lowbit.compile(Pair(), (x, y), name="pair")
    program = export_executable(network, tmp_path / "pair")
    np.save(tmp_path / "x.npy", x.numpy())
    y.numpy().tofile(tmp_path / "y.raw")
    subprocess.run([program, "x.npy", "y.raw", "-o", "out"], cwd=tmp_path, check=True)
    subprocess.run([program, "x.npy", "y.raw", "-o", "out.npy"], cwd=tmp_path, check=True)
    for end, want in (("", x + y), (".1", x - y)):
        np.testing.assert_array_equal(np.fromfile(tmp_path / f"out{end}", np.float32), want.numpy().reshape(-1))
        np.testing.assert_array_equal(np.load(tmp_path / f"out.npy{end}"), want.numpy())
