from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from lowbit.errors import ArtifactError, ConfigError, LowbitError
from lowbit.files import as_path, scratch_folder, unwritable, write_whole


def test_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "größe 1"
    write_whole(path, b"ab", "ü")
    assert path.read_bytes() == b"ab\xc3\xbc"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"cannot write .*größe 1: No space left"):
        write_whole(path, b"new", error=ArtifactError)
    assert path.read_bytes() == b"ab\xc3\xbc"
    assert os.listdir(tmp_path) == ["größe 1"]


def test_a_file_larger_than_may_be(tmp_path: Path) -> None:
    """The limit of the size of files stands in for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(LowbitError, match="cannot write .*: File too large"):
            write_whole(tmp_path / "y", bytes(5000))
        message = r"temporary folder \S*lowbit-\S* is full or cannot be written.* TMPDIR"
        with pytest.raises(LowbitError, match=message), scratch_folder() as folder:
            (folder / "x").write_bytes(bytes(5000))
        assert unwritable(tmp_path, 4096) is None
        assert "File too large" in str(unwritable(tmp_path, 4097))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_links_are_followed_and_programs_may_be_run(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", b"new", executable=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert os.access(tmp_path / "real", os.X_OK)
    write_whole(tmp_path / "real", b"new")
    assert not (tmp_path / "real").stat().st_mode & 0o111


def test_without_a_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    message = r"temporary folder /proc/nowhere/lowbit-\S+ is full or cannot be written"
    with pytest.raises(LowbitError, match=message), scratch_folder():
        pass


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(FileNotFoundError), scratch_folder() as folder:
        (folder / "absent").read_bytes()
    assert not folder.exists()


@pytest.mark.parametrize("path", ["a\0b", b"bytes", 3, None, 1.5, ["a"]])
def test_what_is_no_path(path: object) -> None:
    with pytest.raises(ConfigError, match="dump_dir is the path of a file, not"):
        as_path(path, "dump_dir")  # type: ignore[arg-type]
    assert as_path("ä b", "dump_dir") == Path("ä b")
