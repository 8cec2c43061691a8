"""Pictures: of the right kind, with what belongs on them, and errors where there is nothing to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lowbit.errors import ConfigError, ToolMissing
from lowbit.searching.show import save_comparison_picture, save_picture
from lowbit.searching.show.progress import progress
from tests.searching.show.samples import comparison, study

pytest.importorskip("matplotlib", reason="pip install lowbit[report]")


def comments(path: Path) -> str:
    """matplotlib writes the text it draws into comments of the SVG."""
    return path.read_text()


@pytest.mark.parametrize("what", ["front", "hypervolume", "plan"])
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_ending_chooses_the_format(tmp_path: Path, what: str, ending: str) -> None:
    path = tmp_path / f"p.{ending}"
    save_picture(study(), path, what)
    if ending == "png":
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert len(np.unique(np.asarray(image))) > 20
    else:
        assert path.read_text().startswith("<?xml")


def test_the_front_names_uniform_networks_and_axes(tmp_path: Path) -> None:
    save_picture(study(), tmp_path / "p.svg")
    text = comments(tmp_path / "p.svg")
    for word in ("w8a8", "w4a4", "latency, ms", "accuracy", "on the front", "infeasible"):
        assert f"<!-- {word} -->" in text


def test_a_plan_is_that_of_the_trial(tmp_path: Path) -> None:
    result = study()
    save_picture(result, tmp_path / "p.svg", "plan", 4)
    text = comments(tmp_path / "p.svg")
    assert "trial 4: accuracy" in text
    for name in ("layer1.0.conv1", "fc"):
        assert f"<!-- {name} -->" in text
    save_picture(result, tmp_path / "q.svg", "plan")
    assert "trial 8: accuracy" in comments(tmp_path / "q.svg")


@pytest.mark.parametrize(
    ("change", "what", "trial", "message"),
    [
        ({}, "bars", None, "cannot draw 'bars'; there are front, hypervolume, plan"),
        ({}, "plan", 99, "has no trial 99"),
        ({}, "plan", 39, "cannot draw the plan of trial 39: it is waiting and has none"),
        ({"hypervolume": []}, "hypervolume", None, "cannot draw the hypervolume: study s<b> has none yet"),
        ({"trials": []}, "front", None, "no complete trial has both latency and accuracy"),
    ],
)
def test_nothing_to_draw_is_an_error_and_leaves_no_file(
    tmp_path: Path, change: dict[str, Any], what: str, trial: int | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        save_picture(study() | change, tmp_path / "p.png", what, trial)
    assert list(tmp_path.iterdir()) == []


def test_other_endings_and_no_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="must end with .png, .svg, .pdf"):
        save_picture(study(), tmp_path / "p.jpg")
    with pytest.raises(ConfigError, match="must end with"):
        save_comparison_picture(comparison(), tmp_path / "p")
    monkeypatch.setattr("lowbit.searching.show.pictures.find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match=r"pip install 'lowbit\[report\]'"):
        save_picture(study(), tmp_path / "p.png")


def test_dollars_in_names_are_no_formulas(tmp_path: Path) -> None:
    result = study() | {"network": "$x_{"}
    save_picture(result, tmp_path / "p.svg")
    assert "$x_{" in comments(tmp_path / "p.svg").replace("\\", "")


@pytest.mark.parametrize("kind", ["one", "weighted", "none"])
def test_all_kinds_of_studies_are_drawn(tmp_path: Path, kind: str) -> None:
    result = {"one": study(objectives=1), "weighted": study(mode="weighted"), "none": study(constraint=0.99)}[kind]
    for what in ("front", "plan", "hypervolume"):
        save_picture(result, tmp_path / f"{what}.png", what)


def test_progress_is_the_best_so_far_of_what_is_feasible() -> None:
    result = study(objectives=1, trials=4)
    for trial, accuracy, possible in zip(result["trials"], (0.5, 0.9, 0.7, 0.6), (True, False, True, True), strict=True):
        trial |= {"state": "complete", "metrics": {"accuracy": accuracy}, "feasible": possible}
    assert progress(result) == ("best accuracy", [0.5, 0.5, 0.7, 0.7])
    result["objectives"] = [result["objectives"][0] | {"direction": "minimize"}]
    result["trials"][0]["feasible"] = False
    assert progress(result) == ("best accuracy", [None, None, 0.7, 0.6])


def test_a_comparison_names_its_strategies_and_the_optimum(tmp_path: Path) -> None:
    save_comparison_picture(comparison(), tmp_path / "p.svg")
    text = comments(tmp_path / "p.svg")
    for word in ("tpe", "nsga2", "optimum", "hypervolume (more is better)"):
        assert f"<!-- {word} -->" in text
    save_comparison_picture(comparison() | {"optimum": None}, tmp_path / "q.svg")
    assert "<!-- optimum -->" not in comments(tmp_path / "q.svg")


def test_a_comparison_of_nothing_is_an_error(tmp_path: Path) -> None:
    c = comparison()
    for strategy in c["strategies"].values():
        strategy["best"], strategy["hypervolume"] = [], []
    with pytest.raises(ConfigError, match="no strategy has finished a trial"):
        save_comparison_picture(c, tmp_path / "p.png")


def test_seeds_without_a_value_yet_leave_a_gap(tmp_path: Path) -> None:
    c = comparison()
    for series in c["strategies"]["tpe"]["best"]:
        series[:5] = [None] * 5
    save_comparison_picture(c, tmp_path / "p.png")
    c["strategies"]["tpe"]["best"] = [[None] * 30] * 5
    save_comparison_picture(c, tmp_path / "p.png")
