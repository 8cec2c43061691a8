"""Every stage as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import lowbit
from lowbit.errors import ConfigError, ToolMissing
from lowbit.reporting import kernel_texts
from lowbit.reporting.stages import STAGES, stage_text

SIGNS = {
    "graph": ["graph tiny", "= conv2d(%x, %stem.weight", "float32[1x3x8x8]"],
    "quantized": ["u4(scale=", "i4(scale=", "qlo=0"],
    "program": ["program tiny", "arena", "body: conv2d_u4i4"],
    "tensorir": ["@T.prim_func", "used by body"],
    "llvm": ["define ", "used by body"],
    "asm": ["retq", "used by body"],
}


@pytest.mark.parametrize("stage", STAGES)
def test_stage(stage: str, artifacts: Mapping[str, Path]) -> None:
    text = stage_text(lowbit.load(artifacts["4/int4"]), stage)
    for sign in SIGNS[stage]:
        assert sign in text
    assert text.endswith("\n")


def test_the_graph_stage_is_the_float_network(artifacts: Mapping[str, Path]) -> None:
    assert "i4(" not in stage_text(lowbit.load(artifacts["4/int4"]), "graph")


@pytest.mark.parametrize("stage", STAGES)
def test_one_layer(stage: str, artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["8/int8"])
    one = stage_text(compiled, stage, "body")
    assert 0 < len(one) < len(stage_text(compiled, stage))
    assert "used by stem" not in one


def test_equal_networks_have_equal_texts(artifacts: Mapping[str, Path]) -> None:
    a, b = lowbit.load(artifacts["8/int8"]), lowbit.load(artifacts["8/int8"])
    assert all(stage_text(a, stage) == stage_text(b, stage) for stage in STAGES)


def test_unknown_stage_and_layer(artifacts: Mapping[str, Path]) -> None:
    compiled = lowbit.load(artifacts["8/int8"])
    with pytest.raises(ConfigError, match="unknown stage 'relay'; stages: graph, quantized"):
        stage_text(compiled, "relay")
    with pytest.raises(ConfigError, match="no layer 'nose'"):
        stage_text(compiled, "graph", "nose")


def test_kernel_texts_need_tvm(artifacts: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_texts, "find_spec", lambda name: None)
    kernel_texts._generated.cache_clear()
    with pytest.raises(ToolMissing, match="apache-tvm"):
        stage_text(lowbit.load(artifacts["8/int8"]), "asm", "body")
