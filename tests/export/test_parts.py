"""From an artifact back to what it was linked from, whatever decided about its kernels, then or since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.backend.build import weights_file
from lowbit.backend.cpu import CPU
from lowbit.errors import ToolMissing
from lowbit.export.library import export_executable
from lowbit.export.parts import parts_of
from lowbit.kernels.conv2d.selection import select
from lowbit.kernels.conv2d.selection.candidates import candidates
from lowbit.kernels.conv2d.selection.decide import Request
from lowbit.kernels.conv2d.selection.decision import Decision, decision_of
from lowbit.lowering import lower
from lowbit.quantization import parse_config
from lowbit.quantizer import quantized
from lowbit.runtime.assemble import assemble
from lowbit.runtime.compiled import Compiled
from lowbit.targets import TARGETS, find_target
from lowbit.tracer import trace
from tests import tiny


class _Contrary:
    """Never what the cost model would choose."""

    def __init__(self) -> None:
        self.decided = 0

    def find(self, request: Request) -> Decision | None:
        others = candidates(request.problem, request.weights, find_target("native"))
        others.remove(decision_of(request.model))
        self.decided += 1
        return others[-1]

    def refuse(self, request: Request, decision: Decision) -> None:
        raise AssertionError(f"{request.problem.layer}: {decision}")


@pytest.mark.parametrize("config", ["fp32", "8/int8", "2/int2"])
def test_measured_decisions_are_kept(config: str) -> None:
    model, example = tiny.network()
    graph, chosen = trace(model, example, "tiny"), parse_config(config)
    graph = graph if chosen is None else quantized(graph, chosen, [example])
    target, decisions = find_target("native"), _Contrary()
    program = lower(graph, target, decisions)
    assert decisions.decided >= 3
    assert program.specs != lower(graph, target).specs
    kernels = CPU.compile(program.specs, target)
    network = assemble(graph, program, kernels, CPU.link(program, kernels, target), target)
    parts = parts_of(network)
    assert parts.program.specs == program.specs
    assert parts.weights == weights_file(program)


def test_what_was_compiled_comes_back(artifacts: Mapping[str, Path]) -> None:
    for path in artifacts.values():
        network = lowbit.load(path)
        parts = parts_of(network)
        assert weights_file(parts.program) == parts.weights == network.section("weights.bin")
        assert [call.spec.symbol(parts.target.name) for call in parts.program.calls] == [
            layer["kernel"] for layer in network.manifest["layers"]
        ]


def test_another_cost_model_changes_nothing(
    artifacts: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between saving and exporting; and lowering is not asked at all."""
    network = lowbit.load(artifacts["8/int8"])
    before, graph = network.program(), network.graph()
    program = export_executable(network, tmp_path / "before").read_bytes()
    monkeypatch.setattr(select, "fastest", lambda tilings: max(tilings, key=lambda tiling: tiling.cycles))
    assert lower(graph, network.target).specs != before.specs
    again = lowbit.load(artifacts["8/int8"])
    assert again.program().specs == before.specs

    def never(*_: object) -> None:
        raise AssertionError("a saved network is lowered again")

    monkeypatch.setattr("lowbit.lowering.context.Lowering.__init__", never)
    assert export_executable(again, tmp_path / "after").read_bytes() == program


def test_a_target_of_ones_own_survives(tmp_path: Path) -> None:
    base = find_target("native")
    target = replace(base, name="my-board.2", l1_bytes=base.l1_bytes * 2, clock_hz=7)
    assert target.name not in TARGETS
    model, example = tiny.network()
    network = lowbit.compile(model, example, config="8/int8", calibration=[example], target=target)
    again = lowbit.load(network.save(tmp_path / "net.lowbit"))
    assert again.target == target
    assert parts_of(again).target == target
    x = np.ones((1, 3, 8, 8), np.float32)
    np.testing.assert_array_equal(again(x), network(x))
    assert export_executable(again, tmp_path / "program").stat().st_size > 0
    assert [p.layer for p in again.profile(x, runs=1, peaks=False)] == [layer["name"] for layer in network.manifest["layers"]]


def test_without_tvm_and_without_the_kernels(artifacts: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'tvm'", name="tvm")

    monkeypatch.setattr("lowbit.backend.cache.compile_kernels", absent)
    with pytest.raises(ToolMissing, match="its kernels are not in the cache; generating them needs tvm"):
        parts_of(lowbit.load(artifacts["8/int8"]))


def test_kernels_of_another_version(artifacts: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(data: Mapping[str, object]) -> None:
        raise KeyError(data["kind"])

    network: Compiled = lowbit.load(artifacts["8/int8"])
    monkeypatch.setattr("lowbit.kernels.spec.spec_from_json", unknown)
    with pytest.raises(lowbit.errors.ArtifactError, match="this lowbit does not know its kernel .*; compile again"):
        parts_of(network)
