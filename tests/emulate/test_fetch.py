"""Fetching the board's files: what stops it, and that it stops before anything is changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lowbit.emulate import fetch
from lowbit.emulate.fetch import FetchError, setup_board
from lowbit.errors import ToolMissing


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_BOARD", str(tmp_path / "board"))
    monkeypatch.setattr(fetch, "find_system_qemu", _missing)


def _missing() -> None:
    raise ToolMissing("no qemu")


needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None or not fetch.KEYS.exists(), reason="apt-get is not installed")


@needs_apt
def test_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fetch, "MIRROR", "http://127.0.0.1:9/debian")  # the port where nobody answers
    monkeypatch.setattr(fetch, "_codename", lambda: fetch.SUITE)
    with pytest.raises(FetchError, match=r"http://127.0.0.1:9/debian cannot be used: .*is this machine offline\?"):
        setup_board()
    assert list((tmp_path / "board").iterdir()) == []


@needs_apt
def test_another_distribution(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fetch, "_codename", lambda: "")
    with pytest.raises(ToolMissing, match="install QEMU 9 or newer"):
        setup_board()
    assert not (tmp_path / "board").exists()


def test_without_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="apt-get fetches the board's files"):
        setup_board()


def test_nothing_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fetch, "find_system_qemu", lambda: None)
    kernel = tmp_path / "board" / "kernel"
    kernel.mkdir(parents=True)
    for name in ("vmlinuz", *fetch.DTBS):
        (kernel / name).write_bytes(b"")
    said: list[str] = []
    assert setup_board(said.append) == tmp_path / "board"
    assert said == [f"everything is there: {tmp_path / 'board'}"]
