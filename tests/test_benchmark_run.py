"""`make bench`: what is kept, what is skipped, and what the page makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks import ablation, avx2, groups, run
from benchmarks.page import ablation_text, page
from benchmarks.results_file import Results

from lowbit.errors import ConfigError
from lowbit.measure.load import Load, is_busy
from lowbit.reporting.peer_tables import group_table, groups_of, summary_table
from lowbit.reporting.ratios import checked, ratios
from lowbit.targets import TECHNIQUES, find_target

MS = {
    "fp32": 10.0, "8/int8": 4.0, "1/int1": 1.0, "onnxruntime/fp32": 12.0, "onnxruntime/int8": 5.0, "openvino/fp32": 11.0,
    "openvino/int8": 6.0, "openvino/int8-nncf": 4.5,
}  # fmt: skip


def row(config: str, /, **changes: Any) -> dict[str, Any]:
    peer = config.split("/")[0] in ("onnxruntime", "openvino")
    given = {
        "config": config,
        "median_ms": MS[config],
        "runtime": config.split("/")[0] if peer else "lowbit",
        "exact": None if peer or config == "fp32" else True,
        "cosine": 0.9876,
        "relative_error": 2e-6,
        "bytes": 2_000_000,
        "verdict": "",
        "note": "made so" if "int8" in config and peer else "",
    }
    return given | changes


def part(network: str = "net", rows: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    given = {
        "network": network, "batch": 1, "threads": 1, "macs": 8_000_000_000, "load_before": 0.3, "other_cores": 0.01,
        "seconds": 7.0, "rows": [row(name) for name in MS] if rows is None else rows,
    }  # fmt: skip
    return given | changes


def test_ratios_are_to_the_fastest_peer_of_the_kind() -> None:
    found = ratios([row(name) for name in MS])
    assert found["fp32"].of_peer == pytest.approx(11 / 10), "openvino/fp32 is the fastest float32"
    assert found["8/int8"].of_peer == pytest.approx(4.5 / 4), "openvino/int8-nncf is the fastest int8"
    assert found["1/int1"].of_peer == pytest.approx(4.5)
    assert found["8/int8"].of_float == pytest.approx(10 / 4)
    assert found["onnxruntime/int8"].of_peer == pytest.approx(4.5 / 5)
    assert found["onnxruntime/int8"].of_float == pytest.approx(12 / 5), "beside the same runtime's float32"
    alone = ratios([row("8/int8"), row("openvino/fp32")])
    assert alone["8/int8"].of_peer is None
    assert alone["8/int8"].of_float is None


def test_every_row_says_how_it_was_checked() -> None:
    assert checked(row("8/int8")) == "exact"
    assert checked(row("8/int8", exact=False)) == "**WRONG**"
    assert checked(row("fp32")) == checked(row("openvino/fp32")) == "2e-06"
    assert checked(row("fp32", relative_error=0.01)) == "**1e-02**"
    assert checked(row("onnxruntime/int8")) == "cosine 0.988"


def test_a_group_as_a_table() -> None:
    text = group_table(part())
    assert "| 8/int8 | 4.00 | 1.12 | 2.50 | 2,000 | exact | 2.0 |" in text
    assert "fastest other fp32: openvino/fp32, 11.00 ms; fastest other int8: openvino/int8-nncf, 4.50 ms." in text
    assert "onnxruntime/int8 and openvino/int8 and openvino/int8-nncf: made so." in text
    assert "busy" not in text
    assert "**1/int1: DEAD: all.**" in group_table(part(rows=[row("1/int1", verdict="DEAD: all")]))


def test_a_busy_machine_is_told() -> None:
    busy = part(other_cores=0.8)
    assert "**The machine was busy: other work took 0.80 cores meanwhile." in group_table(busy)
    assert "| net (busy) | 1 | 1 |" in summary_table([busy])
    assert not is_busy(part())
    assert is_busy(part(other_cores=None, load_before=99.0)), "where nothing better is known, the load average counts"
    assert not is_busy(part(other_cores=None, load_before=0.0))
    assert "load average 99.0 before" in group_table(part(other_cores=None, load_before=99.0))


def test_own_work_is_not_the_work_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds in which all spent 30 s of CPU time and this process 20."""
    before = Load(0.5, at=100.0, all_s=1000.0, own_s=5.0)
    monkeypatch.setattr("lowbit.measure.load.time.perf_counter", lambda: 110.0)
    monkeypatch.setattr("lowbit.measure.load.time.process_time", lambda: 25.0)
    monkeypatch.setattr("lowbit.measure.load._busy_seconds", lambda: 1030.0)
    assert before.stop() == {"load_before": 0.5, "other_cores": pytest.approx(1.0)}
    assert replace(before, all_s=None).stop()["other_cores"] is None


def test_groups_are_in_order_of_their_work() -> None:
    parts = [
        part("small", macs=8, batch=8),
        part("large", macs=16, batch=8),
        part("large", macs=2),
        part("large", macs=2, threads=2),
    ]
    keyed = {f"{p['network']} batch {p['batch']} threads {p['threads']}": p for p in parts}
    found = groups_of(keyed | {"ablation": {}})
    assert [(p["network"], p["batch"], p["threads"]) for p in found] == [
        ("large", 1, 1), ("large", 1, 2), ("large", 8, 1), ("small", 8, 1),
    ]  # fmt: skip


def test_the_summary_finds_the_widths() -> None:
    text = summary_table([part(), part("wide", [row("fp32"), row("8/int8", config="w8a8")])])
    assert "| net | 1 | 1 | 10.00 (1.10) | 4.00 (1.12) | - | - | 1.00 (4.50) | 11.00 | 4.50 |" in text
    assert "| wide | 1 | 1 | 10.00 (-) | 4.00 (-) | - | - | - | - | - |" in text


PLAN = run.Plan(("a", "b"), (1, 8), (1,), "a", peers=())


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys that were measured; nothing really is.  A part called ``measured[0]`` when set fails as an interruption."""
    seen: list[str] = []

    def fake(plan: run.Plan, wanted: Any, shared: dict[str, Any], say: Any) -> dict[str, Any]:
        key = run.key_of(wanted)
        if key == "b batch 1 threads 1" and "fail" in seen:
            raise KeyboardInterrupt
        seen.append(key)
        if key == "ablation":
            without = dict.fromkeys([*TECHNIQUES, "everything"])
            rows = [{"config": "w8a8", "median_ms": 2.0, "right": True, "check": "exact", "without": without}]
            return part(rows=rows) | {"target": "x86-64"}
        if key == "avx2":
            return part() | {"avx2": {"kernels": {"jit_avx2_I8": 3}, "honoured": True}}
        return part(wanted.network, batch=wanted.batch)

    monkeypatch.setattr(run, "_measure", fake)
    return seen


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, measured: list[str]) -> None:
    path, document, said = tmp_path / "results" / "m.json", tmp_path / "docs" / "benchmarks.md", []
    measured.append("fail")
    with pytest.raises(KeyboardInterrupt):
        run.run(PLAN, Results(path), document, say=said.append)
    assert said[0].startswith("6 parts; about ")
    assert measured == ["fail", "a batch 1 threads 1", "a batch 8 threads 1"]
    assert "## a, batch 8, 1 thread" in document.read_text(), "the page is there too"
    measured.clear()
    run.run(PLAN, Results(path), document, resume=True, say=said.append)
    assert measured == ["b batch 1 threads 1", "b batch 8 threads 1", "ablation", "avx2"]
    assert any(text.startswith("4 parts, 2 of this run are there already; about ") for text in said)
    measured.clear()
    run.run(PLAN, Results(path), document, resume=True, say=said.append)
    assert measured == [], "it was finished"
    run.run(PLAN, Results(path), document, ["b"], say=said.append)
    assert measured == ["b batch 1 threads 1", "b batch 8 threads 1"], "a new run measures again"
    assert set(json.loads(path.read_text())["parts"]) == {
        *(f"{name} batch {batch} threads 1" for name in "ab" for batch in (1, 8)), "ablation", "avx2",
    }, "and keeps the figures of the others"  # fmt: skip
    sections = document.read_text().split("\n## ")
    old = [section.split("\n")[0] for section in sections if "\nOf an earlier run, 20" in section]
    assert old == ["a, batch 1, 1 thread", "a, batch 8, 1 thread", "What each technique gives", "With AVX2 alone"]


def test_the_page_has_a_section_for_all_there_is(tmp_path: Path, measured: list[str]) -> None:
    path, document = tmp_path / "results" / "m.json", tmp_path / "docs" / "benchmarks.md"
    run.run(PLAN, Results(path), document, say=lambda _: None)
    headings = [line for line in document.read_text().splitlines() if line.startswith("## ")]
    assert headings[:3] == ["## How it was measured", "## How to read it", "## All networks"]
    assert headings[-2:] == ["## What each technique gives", "## With AVX2 alone"]
    text = document.read_text()
    assert "| w8a8 | 2.00 | - | - | - | - | - | - | - | exact |" in text
    assert "The limit holds: the kernels it reports for int8 are jit_avx2_I8 (3)." in text
    start = dict.fromkeys(("import_ms", "load_ms", "first_run_ms", "peak_bytes", "bytes"), 1e6)
    gained = {"config": "fp32", "target": "t", "default_us": 2200, "tuned_us": 2000, "gap": 10.0}
    common = {"network": "n", "threads": 2}
    others = {
        "scaling": common | {"fits": [{"config": "fp32", "fixed_ms": 1, "ms_per_gmac": 2, "exponent": 0.9}]},
        "load": common | {"rows": [start | {"runtime": "lowbit C", "config": "fp32"}]},
        "tuning": {"rows": [common | gained]},
    }
    for name, content in others.items():
        path.with_name(f"m-{name}.json").write_text(json.dumps(content))
    text = page(Results(path), document.parent)
    assert "| fp32 | 1.00 | 2.00 | 0.90 |" in text
    assert "![" not in text, "no picture is there"
    assert "| lowbit C | fp32 | 1.0 | 1000000.0 |" in text
    assert "| n | fp32 | t | 2 | 2.20 | 2.00 | 10.0 % |" in text
    (document.parent / "images").mkdir()
    (document.parent / "images" / "scaling.svg").write_text("<svg/>")
    assert "](images/scaling.svg)" in page(Results(path), document.parent)


def test_estimates_are_what_was_measured_before(tmp_path: Path) -> None:
    results = Results(tmp_path / "m.json")
    parts = run.parts_of(run.FULL)
    assert len(parts) == 5 * 2 * 2 + 2
    guess = run.estimate(parts, results)
    assert guess <= 15 * 60
    results.data["machine"] = {}
    results.put(run.key_of(parts[0]), part(seconds=1000.0))
    assert run.estimate(parts, results) == pytest.approx(guess - run.GUESS["resnet50"] + 1000.0)


def test_only_names_what_there_is() -> None:
    assert run.parts_of(run.FULL, ["avx2"]) == ["avx2"]
    assert [run.key_of(p) for p in run.parts_of(PLAN, ["b", "ablation"])] == [
        "b batch 1 threads 1",
        "b batch 8 threads 1",
        "ablation",
    ]
    with pytest.raises(
        ConfigError, match="nothing to measure is called vgg; there are a, b, ablation, avx2, 'a batch 1 threads 1' and so on"
    ):
        run.parts_of(PLAN, ["vgg"])


def test_a_file_of_an_older_version_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"reports": []}))
    assert Results(tmp_path / "m.json").parts == {}


def test_limits_are_read_off_kernels() -> None:
    assert avx2.honoured(["jit_avx2_I8", "jit_gemm_I8"])
    assert not avx2.honoured(["jit_avx2_I8", "brgconv_avx512_I8"])


def test_runs_fit_into_the_time() -> None:
    import time

    assert groups.runs_within({"a": lambda: time.sleep(0.01)}, 0.001, 30) == groups.LEAST_RUNS
    assert groups.runs_within({"a": lambda: None}, 1.0, 30) == 30
    assert groups.configs_of(groups.Group("resnet50", 1, 2))[1] == "w16a16"
    assert groups.configs_of(groups.Group("resnet50", 8, 2)) == groups.CONFIGS


def test_a_batch_is_checked_image_by_image() -> None:
    prepared = groups.Prepared("tests.tiny:network")
    measured = groups.measure_group(
        prepared, groups.Group("tests.tiny:network", 3, 1), ("fp32", "4/int4"), (), seconds=0.01, most_runs=6
    )
    assert prepared.macs == 8 * 8 * 16 * 9 * (3 + 16) + 16 * 10
    assert measured["macs"] == 3 * prepared.macs
    full, narrow = measured["rows"]
    assert checked(narrow) == "exact"
    assert full["relative_error"] < 1e-5
    assert len(full["samples_ms"]) == measured["runs"] == 6
    json.dumps(measured)
    outputs = prepared.answers("4/int4").oracle
    assert outputs is not None
    assert outputs[0].shape == (1, 10)
    outputs[1][...] += 1
    wrong = prepared.check(lambda x: [[0.0] * 10] * 3, 3, prepared.answers("4/int4"))
    assert wrong.exact is False
    prepared.close()


def wide() -> Any:
    """A network with a layer for every technique."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 1, 1), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).eval()
    return model, torch.zeros((1, 3, 32, 32))


def test_results_older_than_a_technique() -> None:
    """The page of a run that was measured before there was AMX says that of it, and of everything else what is known."""
    variant = {"median_ms": 3.0, "right": True}
    without = {name: variant for name in TECHNIQUES if name != "amx"} | {"everything": None}
    rows = [{"config": "w8a8", "median_ms": 2.0, "right": True, "check": "exact", "without": without}]
    header, _, row = ablation_text(part(rows=rows) | {"target": "x86-64"}).split("\n\n", 1)[1].splitlines()[:3]
    cells = dict(zip(header.split("|"), row.split("|"), strict=True))
    assert cells[" no amx "].strip() == cells[" none of them "].strip() == "-"
    assert cells[" no pairs "].strip() == "3.00 (1.50x)"


def test_ablation_of_a_small_network() -> None:
    prepared = groups.Prepared("tests.test_benchmark_run:wide")
    found = ablation.ablate(prepared, ("w8a8", "2/int2", "1/int1"), seconds=0.01, most_runs=6)
    for one in found["rows"]:
        assert one["right"]
        assert all(variant["right"] for variant in one["without"].values() if variant)
    if find_target().name == "x86-64-v4-vnni-popcnt":
        used = {name for one in found["rows"] for name, variant in one["without"].items() if variant}
        assert used == {*TECHNIQUES, "everything"} - {"amx"}
    prepared.answers("w8a8").oracle[0][...] += 1  # type: ignore[index]
    assert not ablation.ablate(prepared, ("w8a8",), seconds=0.01, most_runs=6)["rows"][0]["right"]
    prepared.close()
