"""Every test here has tuning databases of its own, and tuning is on."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWBIT_TUNING", "on")
    monkeypatch.setattr("lowbit.tuning.database.tuning_folder", lambda: tmp_path / "tuning")
    return tmp_path / "tuning"
