"""Documents point at what is there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from lowbit.cli.app import VERBS

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


def _results() -> dict[str, object]:
    """What `make bench` writes, of one network in two groups."""
    checks = {"exact": True, "cosine": 1.0, "relative_error": 0.0, "bytes": 1_000_000, "verdict": "", "note": ""}
    rows = [
        {"config": name, "median_ms": ms, "runtime": runtime, **checks}
        for name, ms, runtime in (("fp32", 9.0, "lowbit"), ("w8a8", 3.0, "lowbit"), ("openvino/int8", 4.5, "openvino"))
    ]
    group = {"network": "net", "batch": 1, "threads": 1, "macs": 1e9, "load_before": 0.1, "other_cores": 0.0, "rows": rows}
    facts = {"machine": "cpu", "versions": {"torch": "2", "openvino": "3"}}
    parts = {"ablation": {}, "net batch 1 threads 1": group, "net batch 8 threads 1": {**group, "batch": 8}}
    return {"machine": facts, "parts": parts}


def test_documents_are_updated_between_their_markers() -> None:
    script = _script("update_readme")
    text = "before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter <!-- eval:begin --><!-- eval:end -->\n"
    once = script.updated(text, _results())
    assert once.startswith("before\n<!-- bench:begin -->\nOne image, one thread, cpu; torch 2, openvino 3:\n\n| network |")
    assert "| net | 1 | 1 | 9.00 (-) | 3.00 (1.50) |" in once
    assert "| net | 8 |" not in once
    assert "old" not in once
    assert once.endswith("<!-- bench:end -->\nafter <!-- eval:begin --><!-- eval:end -->\n")
    assert script.updated(once, _results()) == once
    assert "| network |" in script.updated(once, {"rows": []})
    with pytest.raises(ValueError, match="needs <!-- bench:begin -->"):
        script.updated("no markers", _results())
    readme, accuracy = (script.DOCUMENTS[kind].read_text() for kind in ("bench", "eval"))
    assert "| net | 1 | 1 |" in script.updated(readme, _results())
    assert "| cifar10_resnet20 |" in accuracy
    assert "| cifar10_resnet20 |" not in script.updated(accuracy, {"rows": []})


def test_the_readme_has_few_figures() -> None:
    """Long tables are in docs/."""
    rows = re.findall(r"^\| (?!network|---)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(rows) == 5


def test_the_page_of_the_api_is_what_the_docstrings_say() -> None:
    from benchmarks.api_page import PAGE, api_page

    assert PAGE.read_text() == api_page(), "run make docs"
