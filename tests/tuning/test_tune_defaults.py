"""The script that fills the defaults."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lowbit.targets import find_target
from lowbit.tuning import defaults
from lowbit.tuning.database import user_database
from lowbit.tuning.search import RUNGS
from tests.test_documents import _script
from tests.tuning.problems import trial

TARGET = find_target("native")


def test_what_was_measured_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what went through every rung, beside what is there."""
    script = _script("tune_defaults")
    reading, writing = defaults.read_defaults, script.write_defaults
    monkeypatch.setattr(script, "read_defaults", lambda target: reading(target, tmp_path))
    monkeypatch.setattr(script, "write_defaults", lambda *given: writing(*given, tmp_path))
    intel = replace(find_target("x86-64-v4-vnni-popcnt"), costs="intel-6-207")
    writing(intel, "cpu", intel.costs, [trial("old", mr=1)], tmp_path)
    last = len(RUNGS) - 1
    found = [trial("through", mr=2, rung=last, ratio=0.9), trial("through", mr=3, rung=last, ratio=0.8), trial("short", rung=0)]
    lines = [{"target": intel.name, "cpu": "Intel"}, *(each.to_json() for each in found)]
    (tmp_path / "trials.jsonl").write_text("\n".join(map(json.dumps, lines)))
    path = script.taken_over(tmp_path / "trials.jsonl", intel.costs)
    assert path == tmp_path / intel.costs / f"{intel.name}.json"
    assert {t.key.problem: t.decision.mr for t in reading(intel, tmp_path)} == {"old": 1, "through": 3}
    assert reading(replace(intel, costs=""), tmp_path) == []


def test_this_machines_measurements_replace_those_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = _script("tune_defaults")
    reading, writing = defaults.read_defaults, script.write_defaults
    monkeypatch.setattr(script, "read_defaults", lambda target: reading(target, tmp_path))
    monkeypatch.setattr(script, "write_defaults", lambda *given: writing(*given, tmp_path))
    writing(TARGET, "cpu", TARGET.costs, [trial("old", mr=1), trial("both", mr=1)], tmp_path)
    user_database(TARGET).append([trial("both", mr=2), trial("both", mr=3, threads=1)])
    arguments = ["--networks", "mlp_jsc", "--configs", "8/int8", "--threads", "1", "--budget", "1e-9"]
    monkeypatch.setattr(sys, "argv", ["tune_defaults", *arguments])
    script.main()
    found = {(t.key.problem, t.threads): t.decision.mr for t in reading(TARGET, tmp_path)}
    assert found == {("old", 2): 1, ("both", 2): 2, ("both", 1): 3}
    assert "mlp_jsc 8/int8, 1 threads" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["tune_defaults", *arguments, "--fresh"])
    script.main()
    assert {t.key.problem for t in reading(TARGET, tmp_path)} == {"both"}
