"""The report folder and the code folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import lowbit
from lowbit.measure.latency import Latency
from lowbit.measure.output_check import OutputCheck
from lowbit.measure.rows import BenchReport, BenchRow
from lowbit.reporting.code_folder import folder_name, write_code
from lowbit.reporting.report import write_report


def test_folder_names() -> None:
    assert folder_name("4/int8") == "4-int8"
    assert folder_name("fp32") == "fp32"


def test_code_folder_holds_every_kernel_and_its_links_lead_somewhere(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    networks = {config: lowbit.load(artifacts[config]) for config in ("fp32", "4/int4")}
    write_code(networks, tmp_path)
    for index in tmp_path.rglob("INDEX.md"):
        for link in re.findall(r"\]\(([^)]+)\)", index.read_text()):
            assert (index.parent / link).is_file(), f"{index}: {link}"
    for config, network in networks.items():
        kernels = {layer["kernel"] for layer in network.manifest["layers"]}
        for ending in (".tir.py", ".ll", ".s"):
            assert {p.name.removesuffix(ending) for p in (tmp_path / folder_name(config)).glob(f"*{ending}")} == kernels


def test_report_folder(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    check = OutputCheck(exact=True, max_error=0.1, cosine=0.9, correlation=0.8, top1_agreement=1.0, dead_channels=3)
    dead = OutputCheck(exact=True, max_error=0.1, cosine=0.9, correlation=0, top1_agreement=0, constant=True, dead_channels=9)
    rows = [BenchRow("8/int8", Latency((1.0, 2.0)), 1000, check), BenchRow("1/int1", Latency((1.0, 2.0)), 10, dead)]
    report = BenchReport("tiny", 1, 2, "cpu", ["avx2"], {"lowbit": "1"}, "abc", rows, ["a note"])
    write_report(report, {"8/int8": lowbit.load(artifacts["8/int8"])}, tmp_path / "new")
    text = (tmp_path / "new" / "README.md").read_text()
    for sign in ("| 8/int8 |", "1/int1: DEAD", "a note", "avx2", "abc", "latency.png", "code/8-int8/INDEX.md"):
        assert sign in text
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (tmp_path / "new" / link).is_file(), link
    assert json.loads((tmp_path / "new" / "bench.json").read_text()) == json.loads(json.dumps(report.to_json()))
    assert json.loads((tmp_path / "new" / "details.json").read_text())["rows"][0]["samples_ms"] == [1.0, 2.0]
