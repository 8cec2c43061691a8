"""A short campaign against the artifact loader, and that a campaign would see what it is for."""

from __future__ import annotations

import re

import pytest

from tests.fuzz import artifacts
from tests.fuzz.artifacts import Finding, campaign
from tests.fuzz.mutations import KINDS


def test_nothing_but_artifact_errors() -> None:
    counts = campaign(20261128, 3000)
    assert counts["mutations"] == 3000
    assert counts["refused"] + counts["loaded"] == 3000
    assert counts["ran"] > 300, "what is altered deep inside must get as far as running"
    for kind in KINDS:
        assert counts[kind] > 20
    assert counts["weights: ran"] == counts["weights"], "other numbers are other numbers"


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("raise KeyError('target')", "KeyError: 'target'"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "exit status -11"),
        ("import time; time.sleep(100)", "no answer within 3 s"),
    ],
)
def test_findings_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: object, fault: str, seen: str) -> None:
    """An error of Python's own, a crash and a hang, each at mutation 7."""
    program = artifacts._PROGRAM.replace("work(*", f"artifacts.HANG_S = 3; fault(7, {fault!r}); work(*")
    monkeypatch.setattr(artifacts, "_PROGRAM", program)
    monkeypatch.setattr(artifacts, "HANG_S", 3)
    with pytest.raises(Finding, match=rf"mutation 7 of seed 1: (.|\n)*{re.escape(seen)}"):
        campaign(1, 20)
