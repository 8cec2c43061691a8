"""A backend from outside: one object and one line of the table, and networks are compiled, run, saved and tuned with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.backend.build import weights_file
from lowbit.backend.driver import identity, info_text
from lowbit.backend.protocol import Backend, FilePart, OpenNetwork
from lowbit.backend.table import BACKENDS, backend_of, obstacle
from lowbit.errors import ArtifactError, ToolMissing, UnknownTarget
from lowbit.graph.interpreter import interpret
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering import Program
from lowbit.runtime.graph_store import decode_graph
from lowbit.targets import Target, find_target
from tests import tiny

TARGET = replace(find_target("x86-64"), name="abacus-1", triple="abacus-unknown-none")


class _Interpreted:
    """A network "in code" is the graph beside it, interpreted."""

    def __init__(self, sections: Mapping[str, bytes | memoryview]) -> None:
        self.info: dict[str, Any] = json.loads(bytes(sections["library.so"]).split(b"\0")[0])
        self.threads = 1
        self.closed = False
        self._graph = decode_graph(sections)

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return interpret(self._graph, list(inputs))

    def profile(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        return np.ones(len(self.info["operations"]), np.int64)

    def close(self) -> None:
        self.closed = True


class Abacus:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def tools(self, target: Target) -> dict[str, str]:
        self.asked.append("tools")
        return {"beads": "12"}

    def obstacle(self, target: Target) -> str:
        return "; it has no beads" if "beads" in target.features else ""

    def compile(
        self, specs: Iterable[KernelSpec], target: Target, progress: Callable[[KernelSpec, bool], None] | None = None
    ) -> dict[KernelSpec, bytes]:
        self.asked.append("compile")
        made = {spec: json.dumps(spec.to_json()).encode() for spec in dict.fromkeys(specs)}
        for spec in made:
            if progress:
                progress(spec, False)
        return made

    def link(self, program: Program, kernels: Mapping[KernelSpec, bytes], target: Target) -> dict[str, bytes]:
        self.asked.append("link")
        symbols = [spec.symbol(target.name).encode() for spec in kernels]
        code = b"\0".join([info_text(program, target).encode(), *symbols, identity(program).to_bytes(8, "little")])
        return {"library.so": code, "weights.bin": weights_file(program), "beads.txt": b"oooo"}

    def open(
        self, sections: Mapping[str, bytes | memoryview], weights: bytes | FilePart, threads: int | None, **chosen: Any
    ) -> OpenNetwork:
        self.asked.append("open from a file" if isinstance(weights, FilePart) else "open")
        return _Interpreted(sections)


ABACUS = Abacus()
_KEPT: Backend = ABACUS  # it is one, by mypy


@pytest.fixture
def abacus(monkeypatch: pytest.MonkeyPatch) -> Abacus:
    monkeypatch.setitem(BACKENDS, "abacus", f"{__name__}:ABACUS")
    ABACUS.asked.clear()
    return ABACUS


@pytest.mark.parametrize("config", ["8/int8", "2/int2"])
def test_networks_are_made_with_it(abacus: Abacus, tmp_path: Path, config: str) -> None:
    model, example = tiny.network()
    network = lowbit.compile(model, example, config=config, calibration=[example], target=TARGET)
    assert abacus.asked[0] == "tools"  # before any work
    assert [what for what in abacus.asked if what != "tools"] == ["compile", "link", "open"]
    assert network.manifest["created_with"]["beads"] == "12"
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8), np.float32)
    expected = interpret(network.graph(), [x])[0]
    np.testing.assert_array_equal(network(x), expected)

    again = lowbit.load(network.save(tmp_path / "net.lowbit"))
    assert abacus.asked[-1] == "open from a file"
    assert (again.target, again.section("beads.txt")) == (TARGET, b"oooo")
    np.testing.assert_array_equal(again(x), expected)
    assert again.program().specs == network.program().specs
    assert all(operation.ns == 1 for operation in again.profile(x, runs=1, peaks=False))


def test_the_tuner_measures_with_it(abacus: Abacus) -> None:
    with pytest.raises(KeyError, match="graph.json"):  # a probe has no graph to interpret: as far as opening it
        lowbit.tune(*tiny.network(), weights="i8", calibration=[tiny.network()[1]], target=TARGET, seconds=0.1, progress=False)
    assert [what for what in abacus.asked if what != "tools"] == ["compile", "link", "open"]


def test_what_keeps_a_target_from_running_is_asked_of_it(abacus: Abacus) -> None:
    beads = replace(TARGET, features=frozenset({"beads"}))
    assert obstacle(beads) == "; it has no beads"
    model, example = tiny.network()
    network = lowbit.compile(model, example, target=beads)
    assert "open" not in abacus.asked
    with pytest.raises(ArtifactError, match="was compiled for abacus-1; it has no beads$"):
        network(np.zeros((1, 3, 8, 8), np.float32))


def test_a_missing_tool_is_named_before_any_work(abacus: Abacus, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(target: Target) -> dict[str, str]:
        raise ToolMissing("beads are not installed: buy some")

    monkeypatch.setattr(abacus, "tools", missing)
    with pytest.raises(ToolMissing, match="buy some"):
        lowbit.compile(*tiny.network(), target=TARGET)
    assert abacus.asked == []


def test_a_machine_without_a_backend() -> None:
    with pytest.raises(UnknownTarget, match="for abacus-1, a abacus machine; there are: x86_64, aarch64"):
        lowbit.compile(*tiny.network(), target=TARGET)
    assert "no backend" in obstacle(TARGET)
    assert backend_of(find_target("x86-64")) is backend_of(find_target("raspberry-pi-4"))
