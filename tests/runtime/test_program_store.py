"""Programs inside artifacts: the same after saving, and none but the library's own after altering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.backend.address_tables import address_tables
from lowbit.backend.build import weights_file
from lowbit.backend.driver import driver_source, identity
from lowbit.errors import ArtifactError, LowbitError
from lowbit.export.library import export_executable
from lowbit.lowering import Program, print_program
from lowbit.runtime.artifact import read_artifact, write_artifact
from tests.fuzz.artifacts import seeds
from tests.runtime.test_schema import resigned


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks with every kind of table: windows, split steps, group scales, pools, copies, look-ups."""
    return {path.stem: path for path in seeds(tmp_path_factory.mktemp("seeds"))}


def test_the_same_program(paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import lowbit.runtime.assemble as module

    kept: list[Program] = []

    def keep(program: Program) -> dict[str, bytes]:
        kept.append(program)
        return real(program)

    real = module.encode_program
    monkeypatch.setattr(module, "encode_program", keep)
    from tests.fuzz import artifacts

    artifacts._compiled.__wrapped__()
    assert len(kept) == len(paths)
    kinds = set()
    for name, program in zip(paths, kept, strict=True):
        network = lowbit.load(paths[name], threads=1)
        again = network.program()
        assert print_program(again) == print_program(program)
        assert weights_file(again) == weights_file(program) == network.section("weights.bin")
        assert address_tables(again) == address_tables(program)
        assert driver_source(again, network.target, "x") == driver_source(program, network.target, "x")
        assert (again.calls, again.buffers, again.tables, again.constants) == (
            program.calls, program.buffers, program.tables, program.constants,
        )  # fmt: skip
        for ours, theirs in zip(again.weights, program.weights, strict=True):
            np.testing.assert_array_equal(ours.values, theirs.values)
            for key in ("window_start", "split", "offsets", "group_scale"):
                a, b = getattr(ours.packing, key), getattr(theirs.packing, key)
                assert (a is None) == (b is None)
                if a is not None:
                    kinds.add(key)
                    np.testing.assert_array_equal(a, b)
    assert {"window_start", "group_scale"} <= kinds


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda p: p.pop("calls"), r"program\.json: names missing: \['calls'\]"),
        (lambda p: p["calls"].pop(), r"program\.json has \d+ calls, manifest\.json \d+ layers"),
        (lambda p: p["calls"][1]["args"].pop(), "holds no program: ValueError"),
        (lambda p: p["calls"][1]["args"][0].update(offset=64), "is not the one in the library"),
        (lambda p: p["calls"][1]["args"][0].update(space="heap"), "space is 'heap', must be one of 'null'"),
        (lambda p: p["calls"][1]["args"][5].update(space="scratch"), "as an earlier lowbit gave it.*compile again"),
        (lambda p: p["calls"][1].update(extent=10**6), "is not the one in the library"),
        (lambda p: p["calls"][0]["fills"].clear(), "is not the one in the library"),
        (lambda p: p["weights"].clear(), r"weights\.bin has \d+ bytes, those of program\.json take \d+"),
        (lambda p: p["weights"][0].update(shape=[1 << 40]), r"weights\.bin has \d+ bytes"),
        (lambda p: p["weights"][0].update(shape=[1 << 40, 1 << 40]), "holds no program"),
        (lambda p: p["weights"][0].update(offset=1 << 40), "is not the one in the library"),
        (lambda p: p["weights"][0]["packing"].update(k_group=0), "k_group is 0, must be a whole number from 1"),
        (lambda p: p["weights"][0]["packing"].update(nr=32), "is not the one in the library"),
        (lambda p: p["weights"][1]["packing"]["window_start"].update(at=10**6), r"bytes 1000000 to \d+ of addresses\.bin"),
        (lambda p: p.update(constant_bytes=10**9), r"bytes 0 to 1000000000 of weights\.bin"),
        (lambda p: p.update(table_bytes=0), "is not the one in the library"),
    ],
)  # fmt: skip
def test_altered_programs(paths: dict[str, Path], tmp_path: Path, edit: Callable[[Any], object], message: str) -> None:
    network = lowbit.load(resigned(paths["eight"], tmp_path, program=edit), threads=1)
    assert network(np.ones((1, 3, 8, 8), np.float32)).shape == (1, 5)
    with pytest.raises(ArtifactError, match=message):
        network.program()


def test_altered_tables(paths: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(read_artifact(paths["eight"])["addresses.bin"])
    data[0] ^= 1
    network = lowbit.load(resigned(paths["eight"], tmp_path, addresses=bytes(data)), threads=1)
    with pytest.raises(ArtifactError, match="is not the one in the library"):
        network.program()
    with pytest.raises(ArtifactError, match="is not the one in the library"):
        export_executable(network, tmp_path / "program")
    assert not (tmp_path / "program").exists()


def test_other_tensors_for_a_machine_that_is_not_here(tmp_path: Path) -> None:
    """Nothing opens the library, so what it says is read from its bytes."""
    from tests import tiny

    network = lowbit.compile(*tiny.network(), target="aarch64")
    path = network.save(tmp_path / "net.lowbit")
    assert lowbit.load(path).program().name == network.name
    altered = lowbit.load(resigned(path, tmp_path, manifest=lambda m: m["inputs"][0].update(shape=[1, 3, 8, 7])))
    with pytest.raises(ArtifactError, match="is not the one in the library"):
        altered.program()


def test_the_identity_covers_every_call(paths: dict[str, Path]) -> None:
    program = lowbit.load(paths["eight"], threads=1).program()
    for index in range(len(program.calls)):
        calls = list(program.calls)
        calls[index] = replace(calls[index], extent=calls[index].units + 1)
        assert identity(replace(program, calls=tuple(calls))) != identity(program)


def test_no_json(paths: dict[str, Path], tmp_path: Path) -> None:
    for text in (b"no", b"[" * 200_000, b"\xff"):
        artifact = read_artifact(paths["eight"])
        sections = {name: artifact[name] for name in artifact if name != "manifest.json"}
        path = write_artifact(tmp_path / "net.lowbit", artifact.manifest, {**sections, "program.json": text})
        with pytest.raises(LowbitError, match=r"program\.json is no JSON"):
            lowbit.load(path, threads=1).program()
