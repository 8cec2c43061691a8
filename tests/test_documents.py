"""Documents point at what is there."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from lowbit.cli.app import VERBS
from tests.measure.test_rows import row

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if not link.startswith("http") and path.name != "benchmarks.md" and link != "docs/benchmarks.md":
            assert (path.parent / link).exists(), link


def test_the_readme_shows_only_verbs_there_are() -> None:
    code = "\n".join(re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL))
    verbs = re.findall(r"^(?:\S+=\S+ )?lowbit (\w+)", code, re.MULTILINE)
    assert verbs
    assert set(verbs) <= set(VERBS)


def test_the_changelog_has_the_version() -> None:
    from lowbit.version import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_files_named_in_documents_exist() -> None:
    for path in DOCUMENTS:
        for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", path.read_text()):
            places = [ROOT / name, ROOT / "src" / "lowbit" / name]
            assert any(p.exists() for p in places), f"{path.name}: {name}"


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _report() -> dict[str, object]:
    from lowbit.measure.rows import BenchReport, with_speedups

    rows = with_speedups([row("fp32", 9.0), row("8/int8", 3.0), row("1/int1", 4.0)])
    report = BenchReport("net", 1, 2, "cpu", ["avx2"], {"torch": "2", "apache-tvm": "0.27"}, "abc", rows)
    details: dict[str, object] = json.loads(json.dumps(report.details()))
    return details


def test_the_readme_is_updated_between_its_markers() -> None:
    updated = _script("update_readme").updated
    text = "before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter <!-- eval:begin --><!-- eval:end -->\n"
    once = updated(text, _report())
    assert once.startswith("before\n<!-- bench:begin -->\nnet, batch 1, 2 threads, cpu; torch 2, apache-tvm 0.27.\n\n| config |")
    assert "old" not in once
    assert once.endswith("<!-- bench:end -->\nafter <!-- eval:begin --><!-- eval:end -->\n")
    assert updated(once, _report()) == once
    assert "| network |" in updated(once, {"rows": []})
    with pytest.raises(ValueError, match="needs <!-- bench:begin -->"):
        updated("no markers", _report())
    readme = (ROOT / "README.md").read_text()
    assert "| 8/int8 |" in updated(readme, _report())


def test_the_readme_takes_what_make_bench_wrote() -> None:
    checks = {"exact": True, "cosine": 1.0, "relative_error": 0.0, "bytes": 1_000_000, "verdict": "", "note": ""}
    rows = [
        {"config": name, "median_ms": ms, "runtime": runtime, **checks}
        for name, ms, runtime in (("fp32", 9.0, "lowbit"), ("w8a8", 3.0, "lowbit"), ("openvino/int8", 4.5, "openvino"))
    ]
    group = {"network": "net", "batch": 1, "threads": 1, "macs": 1e9, "load_before": 0.1, "other_cores": 0.0, "rows": rows}
    facts = {"machine": "cpu", "versions": {"torch": "2", "openvino": "3"}}
    results = {"machine": facts, "parts": {"ablation": {}, "net batch 1 threads 1": group}}
    text = _script("update_readme").updated("<!-- bench:begin --><!-- bench:end -->", results)
    assert text.startswith("<!-- bench:begin -->\nnet, batch 1, 1 thread, cpu; torch 2, openvino 3.\n\n| config | ms |")
    assert "| w8a8 | 3.00 | 1.50 | 3.00 | 333 | exact | 1.0 |" in text
    assert "| net | 1 | 1 | 9.00 (-) | 3.00 (1.50) |" in text
