"""CSV and JSON say what the result says."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lowbit.errors import LowbitError
from lowbit.searching.show import save_csv, save_json, search_page, words
from lowbit.searching.show.shapes import masked
from tests.searching.show.samples import study


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_a_trial_and_every_layer(tmp_path: Path) -> None:
    result = study()
    save_csv(result, tmp_path / "s.csv")
    read = rows(tmp_path / "s.csv")
    assert [int(row["number"]) for row in read] == list(range(40))
    for row, trial in zip(read, result["trials"], strict=True):
        assert row["state"] == trial["state"]
        assert row["front"] == str(trial["front"]).lower()
        assert row["ties"] == " ".join(map(str, trial["ties"]))
        latency = trial["metrics"].get("latency")
        assert row["metrics.latency"] == ("" if latency is None else repr(latency))
        plan = trial["layers"].get("<b>conv1</b>", ["", ""])
        assert [row["layers.<b>conv1</b>.weights"], row["layers.<b>conv1</b>.activations"]] == plan
    assert read[8]["metrics.bit_operations"] == str(result["trials"][8]["metrics"]["bit_operations"])
    assert read[0]["constraints.accuracy >= 0.8"] == repr(result["trials"][0]["constraints"]["accuracy >= 0.8"])


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.floats(allow_nan=False, allow_infinity=False))
def test_names_with_commas_quotes_and_breaks_survive(tmp_path: Path, names: list[str], number: float) -> None:
    result = study(trials=3)
    for trial in result["trials"]:
        trial["metrics"] = dict.fromkeys(names, number)
        trial["layers"] = {name: ["i4", "u8"] for name in names}
    save_csv(result, tmp_path / "s.csv")
    for row in rows(tmp_path / "s.csv"):
        for name in names:
            assert float(row[f"metrics.{name}"]) == number
            assert row[f"layers.{name}.activations"] == "u8"


def test_json_comes_back(tmp_path: Path) -> None:
    result = study(trials=10)
    save_json(result, tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text()) == result
    result["trials"][0]["metrics"]["loss"] = float("nan")
    save_json(result, tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["trials"][0]["metrics"]["loss"] is None


def test_a_password_is_in_no_file_no_page_and_no_words(tmp_path: Path) -> None:
    url = "postgresql://me:se@cret:x@host:5432/base"
    result = study(trials=8) | {"storage": url, "command": f"lowbit compile --from {url} --trial {{number}}"}
    save_json(result, tmp_path / "s.json")
    save_csv(result, tmp_path / "s.csv")
    shown = ["\n".join(words(result)), search_page(result), *(p.read_text() for p in tmp_path.iterdir())]
    assert not any("cret" in text for text in shown)
    assert all("postgresql://me:***@host:5432/base" in text for text in shown[:2])
    assert masked("sqlite:////tmp/a:b.db and a@b") == "sqlite:////tmp/a:b.db and a@b"
    assert masked("postgresql://me@host/base") == "postgresql://me@host/base"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    for save in (save_csv, save_json):
        with pytest.raises(LowbitError, match="nowhere"):
            save(study(trials=3), tmp_path / "nowhere" / "s.csv")
