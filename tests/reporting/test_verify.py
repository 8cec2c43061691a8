"""Claims that hold, and forged ones that do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lowbit
from lowbit.reporting import verify as verifier
from lowbit.reporting.instructions import Instruction
from lowbit.reporting.layers import LayerReport, layer_reports
from lowbit.reporting.machine_code import Function
from lowbit.reporting.verify import CHECKS, verify


@pytest.mark.parametrize("config", ["fp32", "8/int8", "4/int8", "4/int4"])
def test_what_the_compiler_makes_holds(config: str, artifacts: Mapping[str, Path]) -> None:
    assert verify(lowbit.load(artifacts[config])) == []


def findings(check: str, compiled: Any, reports: list[LayerReport]) -> list[str]:
    return [str(finding) for finding in CHECKS[check](compiled, reports)]


def forged(compiled: Any, **weights: Any) -> list[LayerReport]:
    """Reports of ``body`` whose stored weights claim something else."""
    (body,) = layer_reports(compiled, "body")
    assert body.weights is not None
    return [replace(body, weights=replace(body.weights, **weights))]


def test_a_layer_that_stores_more_than_it_claims(artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["4/int4"])
    found, *_ = findings("size", compiled, forged(compiled, bytes=16 * 16 * 9))
    assert found == "body: size: 2304 weights of 4 bits take 2304 bytes, not 1152"


def test_more_weights_than_the_file_has(artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["4/int4"])
    (found,) = findings("size", compiled, forged(compiled, offset=10**9))
    assert "the file has" in found


def test_a_container_nobody_asked_for(artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["4/int4"])
    (found,) = findings("container", compiled, forged(compiled, container=8))
    assert found == "body: container: weights lie in 8 bits, the graph asks for 4"


def test_a_type_the_graph_does_not_have(artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["4/int4"])
    (found,) = findings("container", compiled, forged(compiled, qtype="i3"))
    assert "the kernel takes i4 weights, i3 are stored, the graph has i4" in found


def test_a_layer_the_graph_does_not_have(artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["4/int4"])
    (body,) = layer_reports(compiled, "body")
    (found,) = findings("container", compiled, [replace(body, name="nose")])
    assert "the graph has no such layer" in found


def test_values_that_do_not_fit_their_type(artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["4/int8"])
    (body,) = layer_reports(compiled, "body")
    assert body.weights is not None
    data = bytearray(compiled.section("weights.bin"))
    data[body.weights.offset + 7] = 100
    (found,) = findings("values", SimpleNamespace(section=lambda name: bytes(data)), [body])
    assert "..100 on disk do not fit i4" in found


def test_weights_cut_short(artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["4/int4"])
    (found,) = findings("values", compiled, forged(compiled, bytes=10))
    assert "10 bytes cannot hold 2304 weights of 4 bits" in found


def code(*mnemonics: str) -> Function:
    return Function("f", tuple(Instruction(i, m, "%ymm0,%ymm1,%ymm2") for i, m in enumerate(mnemonics)))


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (code("vpmovzxbd", "vcvtdq2ps", "vmulps"), "without an integer multiplication"),
        (code("vpmaddwd", "vfmadd231ps"), "with 1 float multiplications for 0 conversions"),
        (code("vpmaddwd", "vcvtdq2ps", *["vmulps"] * 3), "with 3 float multiplications for 1 conversions"),
        (None, "no code for kernel"),
    ],
)
def test_a_layer_that_multiplies_in_float(function: Function | None, text: str, artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["8/int8"])
    (body,) = layer_reports(compiled, "body")
    (found,) = findings("integer", compiled, [replace(body, function=function)])
    assert text in found


def test_an_epilogue_in_the_hot_loop_is_no_crime(artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["8/int8"])
    (body,) = layer_reports(compiled, "body")
    epilogue = code("vpmaddwd", "vpaddd", "vcvtdq2ps", "vmulps", "vcvtdq2ps", "vmulps", "vaddps", "vcvtps2dq")
    assert findings("integer", compiled, [replace(body, function=epilogue)]) == []


def test_one_bit_needs_no_multiplication(artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["8/int8"])
    (body,) = layer_reports(compiled, "body")
    assert findings("integer", compiled, [replace(body, weight="b1", function=code("vpxor", "vpaddd"))]) == []


def test_code_that_is_not_what_the_spec_generates(artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["8/int8"])
    (body,) = layer_reports(compiled, "body")
    (found,) = findings("code", compiled, [replace(body, object_sha256="0" * 64)])
    assert "generated again differs from the kernel that was linked" in found


def test_code_is_not_checked_without_tvm(artifacts: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "can_generate", lambda: False)
    compiled = lowbit.load(artifacts["8/int8"])
    (body,) = layer_reports(compiled, "body")
    assert findings("code", compiled, [replace(body, object_sha256="0" * 64)]) == []


def test_verify_asks_every_check(artifacts: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def complain(name: str) -> Callable[..., Any]:
        return lambda compiled, reports: iter([verifier.Finding("layer", name, "bad")])

    monkeypatch.setattr(verifier, "CHECKS", {name: complain(name) for name in CHECKS})
    assert [f.check for f in verify(lowbit.load(artifacts["8/int8"]))] == list(CHECKS)
