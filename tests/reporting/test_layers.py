"""Per layer reports of real artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import lowbit
from lowbit.errors import ConfigError
from lowbit.reporting.layers import layer_reports, layer_table, matching


@pytest.mark.parametrize(("config", "bits"), [("fp32", 32), ("8/int8", 8), ("4/int8", 8), ("4/int4", 4)])
def test_bits_stored_come_from_the_bytes(config: str, bits: int, artifacts: Mapping[str, Path]) -> None:
    (body,) = layer_reports(lowbit.load(artifacts[config]), "body")
    assert body.weights is not None
    assert body.weights.values == 16 * 16 * 9
    assert body.weights.bits_stored == bits


def test_hot_loops_multiply_in_the_layers_arithmetic(artifacts: Mapping[str, Path]) -> None:
    for config, path in artifacts.items():
        for report in layer_reports(lowbit.load(path)):
            if report.macs and config == "fp32":
                assert report.work.float_multiplies > 0
                assert report.work.integer_multiplies == 0
            elif report.macs:
                assert report.work.integer_multiplies > 0


def test_types_of_first_and_inner_layers(artifacts: Mapping[str, Path]) -> None:
    types = {r.name: (r.act, r.weight) for r in layer_reports(lowbit.load(artifacts["4/int4"])) if r.weights}
    assert types == {"stem": ("u8", "i8"), "body": ("u4", "i4"), "head": ("u8", "i8")}


def test_table_shows_every_layer(artifacts: Mapping[str, Path]) -> None:
    reports = layer_reports(lowbit.load(artifacts["4/int4"]))
    console = Console(width=250)
    with console.capture() as capture:
        console.print(layer_table("title", reports))
    shown = capture.get()
    for text in ("stem", "body", "head", "u4 x i4", "4.00", "8.00", "multiply="):
        assert text in shown


def test_matching_by_name_and_glob() -> None:
    layers, specs = [{"name": "layer1.0"}, {"name": "layer1.1"}, {"name": "fc"}], (1, 2, 3)
    manifest: Any = SimpleNamespace(layers=layers, specs=specs)
    assert matching(manifest, "") == list(zip(layers, specs, strict=True))
    assert matching(manifest, "fc") == [({"name": "fc"}, 3)]
    assert len(matching(manifest, "layer1.*")) == 2
    with pytest.raises(ConfigError, match="no layer 'conv9'; layers: layer1.0, layer1.1, fc"):
        matching(manifest, "conv9")
