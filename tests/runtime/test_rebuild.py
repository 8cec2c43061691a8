"""From an artifact back to what it was linked from, whatever decided about its kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

import lowbit
from lowbit.backend.build import build_library, weights_file
from lowbit.backend.cache import compile_kernels
from lowbit.compiler import quantize, trace
from lowbit.errors import ArtifactError, ToolMissing
from lowbit.kernels.conv2d.candidates import candidates
from lowbit.kernels.conv2d.decide import Request
from lowbit.kernels.conv2d.decision import Decision, decision_of
from lowbit.kernels.spec import ConvSpec
from lowbit.lowering import lower
from lowbit.quantization import parse_config
from lowbit.runtime import rebuild as module
from lowbit.runtime.assemble import assemble
from lowbit.runtime.rebuild import rebuild
from lowbit.targets import find_target
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
    graph = graph if chosen is None else quantize(graph, chosen, [example])
    target, decisions = find_target("native"), _Contrary()
    program = lower(graph, target, decisions)
    assert decisions.decided >= 3
    assert program.specs != lower(graph, target).specs
    kernels, weights = compile_kernels(program.specs, target), weights_file(program)
    network = assemble(graph, program, kernels, build_library(program, kernels, target), weights, target)
    parts = rebuild(network)
    assert parts.program.specs == program.specs
    assert parts.weights == weights


def test_what_was_compiled_comes_back(artifacts: Mapping[str, Path]) -> None:
    for path in artifacts.values():
        network = lowbit.load(path)
        parts = rebuild(network)
        assert parts.weights == network.section("weights.bin")
        assert [call.spec.symbol(parts.target.name) for call in parts.program.calls] == [
            layer["kernel"] for layer in network.manifest["layers"]
        ]


def test_an_artifact_of_another_version(artifacts: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    network = lowbit.load(artifacts["8/int8"])
    assert network.specs
    network.manifest["layers"][-1]["kernel"] = "copy_something_else"
    with pytest.raises(ArtifactError, match="makes another program of it than the artifact holds; compile again"):
        rebuild(network)
    network = lowbit.load(artifacts["8/int8"])
    tile = {"mr": 3, "nr": 5}  # that no target has
    network.__dict__["specs"] = tuple(replace(s, **tile) if isinstance(s, ConvSpec) else s for s in network.specs)
    with pytest.raises(ArtifactError, match="does not compute it as the artifact does .*3x5.*; compile again"):
        rebuild(network)


def test_without_tvm_and_without_the_kernels(artifacts: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'tvm'", name="tvm")

    monkeypatch.setattr(module, "compile_kernels", absent)
    with pytest.raises(ToolMissing, match="its kernels are not in the cache; generating them needs tvm"):
        rebuild(lowbit.load(artifacts["8/int8"]))
