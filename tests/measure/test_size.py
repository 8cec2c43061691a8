"""Bytes on disk."""

from __future__ import annotations

from pathlib import Path

from lowbit.measure.size import bytes_on_disk


def test_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b").write_bytes(bytes(5))
    assert bytes_on_disk(tmp_path / "a") == 10
    assert bytes_on_disk(str(tmp_path)) == 15
