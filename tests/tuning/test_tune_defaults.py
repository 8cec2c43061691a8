"""The script that fills the defaults."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lowbit.targets import find_target
from lowbit.tuning import defaults
from lowbit.tuning.database import user_database
from tests.test_documents import _script
from tests.tuning.problems import trial

TARGET = find_target("native")


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
