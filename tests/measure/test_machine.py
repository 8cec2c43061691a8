"""Where figures were taken."""

from __future__ import annotations

import subprocess

import pytest

from lowbit.measure import machine
from lowbit.version import __version__


def test_machine_is_one_line_with_cores() -> None:
    text = machine.machine()
    assert "cores" in text
    assert "\n" not in text


def test_versions_name_what_is_installed() -> None:
    versions = machine.versions()
    assert versions["lowbit"] == __version__
    assert "numpy" in versions
    assert "no-such-thing" not in versions


def test_missing_distributions_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "VERSIONED", ("numpy", "no-such-distribution"))
    assert set(machine.versions()) == {"lowbit", "python", "numpy"}


def test_features_are_sorted() -> None:
    assert machine.cpu_features() == sorted(machine.cpu_features())


def test_commit_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_git(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert machine.commit() == ""


def test_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert machine.find_tools() == dict.fromkeys(machine.TOOLS)
