"""Two artifacts side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

import lowbit
from lowbit.reporting.diff import diff_stage, diff_table


def shown(a: str, b: str, artifacts: Mapping[str, Path], layer: str = "") -> str:
    console = Console(width=250)
    with console.capture() as capture:
        console.print(diff_table(lowbit.load(artifacts[a]), lowbit.load(artifacts[b]), layer))
    return capture.get()


def test_a_network_does_not_differ_from_itself(artifacts: Mapping[str, Path]) -> None:
    assert "->" not in shown("8/int8", "8/int8", artifacts).split("\n", 1)[1]
    assert diff_stage(lowbit.load(artifacts["8/int8"]), lowbit.load(artifacts["8/int8"]), "quantized", ("a", "b")) == ""


def test_types_and_bytes_that_differ(artifacts: Mapping[str, Path]) -> None:
    text = shown("8/int8", "4/int4", artifacts, "body")
    assert "u8 x i8 -> u4 x i4" in text
    assert "2,304 -> 1,152" in text


def test_packing_alone_changes_bytes_and_not_code(artifacts: Mapping[str, Path]) -> None:
    text = shown("4/int8", "4/int4", artifacts, "body")
    assert "2,304 -> 1,152" in text
    assert "same code" in text


def test_calls_only_one_side_has(artifacts: Mapping[str, Path]) -> None:
    text = shown("fp32", "8/int8", artifacts)
    assert "only in b" in text


def test_a_stage_as_unified_diff(artifacts: Mapping[str, Path]) -> None:
    a, b = lowbit.load(artifacts["8/int8"]), lowbit.load(artifacts["4/int4"])
    lines = diff_stage(a, b, "quantized", ("a.lowbit", "b.lowbit"), "body").splitlines()
    assert lines[:2] == ["--- a.lowbit", "+++ b.lowbit"]
    assert any(line.startswith("-") and "i8(" in line for line in lines[2:])
    assert any(line.startswith("+") and "i4(" in line for line in lines[2:])
