"""Folders that are full, or that cannot be written: an error that names the folder, and no file that is half there."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import lowbit
from tests import tiny
from tests.errors.processes import CLI, finish, start


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 8 KiB."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        (folder / "fill").write_bytes(bytes(56 << 10))
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> None:
    """To the last byte."""
    with (folder / "rest").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))
    assert os.statvfs(folder).f_bavail == 0


COMPILE = ("compile", "tests.tiny:network", "--config", "8/int8", "-o")


def test_the_temporary_folder_is_full(full: Path, tmp_path: Path) -> None:
    """LLVM writes objects itself and ends the process where it cannot; the C compiler and Python say so.  (d15)"""
    out = tmp_path / "net.lowbit"
    for cache in ("cache", "cache"):  # cold, then warm
        status, stdout, stderr = finish(start(*CLI, *COMPILE, out, TMPDIR=full, LOWBIT_CACHE=tmp_path / cache))
        assert (status, stdout) == (2, ""), stderr
        (line,) = [line for line in stderr.splitlines() if "LowbitError" in line]
        assert f"the temporary folder {full}/lowbit-" in line
        assert "No space left on device" in line
        assert "TMPDIR" in line
        assert "LLVM" not in stderr
        assert not out.exists()
        assert not list(full.glob("*lowbit*")), "nothing of ours stays"
        assert len(list((tmp_path / cache / "kernels").rglob("*.o"))) >= 4, "kernels need no temporary folder"


def test_kernels_without_memory_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the system has none, room is checked before LLVM writes; the bytes are the same."""
    from lowbit.backend.codegen import generate
    from lowbit.errors import LowbitError
    from lowbit.lowering import lower
    from lowbit.targets import find_target
    from lowbit.tracer import trace

    target = find_target("x86-64")
    spec = lower(trace(*tiny.network()), target).specs[1]
    expected = generate(spec, target).object

    def forbidden(*_: object) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "memfd_create", forbidden)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert generate(spec, target).object == expected
    monkeypatch.setattr("lowbit.backend.codegen._ROOM", 1 << 50)
    monkeypatch.setattr("resource.getrlimit", lambda _: (-1, -1))
    monkeypatch.setattr("lowbit.backend.codegen.unwritable", lambda folder, room: LowbitError(f"{folder} has no {room}"))
    with pytest.raises(LowbitError, match=f"has no {1 << 50}"):
        generate(spec, target)
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_the_size_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    from lowbit.errors import LowbitError

    monkeypatch.setenv("LOWBIT_CACHE", "/proc/nowhere")  # nothing is in the cache, and nothing can be put there
    monkeypatch.setattr("resource.getrlimit", lambda _: (4096, 4096))
    with pytest.raises(LowbitError, match=r"files may have 4096 bytes \(ulimit -f\); compiling a kernel needs"):
        lowbit.compile(*tiny.network(), target="x86-64")


def test_outputs_on_a_full_disk(full: Path, tmp_path: Path, artifacts: Mapping[str, Path]) -> None:
    """Every file that the command line writes is the old one or a whole new one.  (d17)"""
    artifact = artifacts["8/int8"]
    np.save(tmp_path / "x.npy", np.ones((1, 3, 8, 8), np.float32))
    (full / "old").write_bytes(b"old")
    fill(full)
    for command in (
        ("run", artifact, tmp_path / "x.npy", "-o", full / "old"),
        ("run", artifact, tmp_path / "x.npy", "-o", full / "y.npy"),
        ("export", artifact, "--executable", full / "old"),
        ("export", artifact, "--library", full / "exported"),
        ("profile", artifact, "--runs", "1", "--no-signal", "--json", full / "p.json"),
        (*COMPILE, full / "net.lowbit"),
    ):
        status, _, stderr = finish(start(*CLI, *command))
        assert status == 2, (command, stderr)
        assert f"{full}" in stderr
        assert "No space left on device" in stderr
        assert "Traceback" not in stderr
        assert (full / "old").read_bytes() == b"old"
        files = [p for p in full.rglob("*") if p.is_file() and p.name not in ("fill", "rest", "old")]
        assert files == [], command


def test_a_cache_on_a_full_disk(full: Path, tmp_path: Path) -> None:
    """Kernels are compiled and not kept."""
    fill(full)
    out = tmp_path / "net.lowbit"
    status, _, stderr = finish(start(*CLI, *COMPILE, out, LOWBIT_CACHE=full / "cache"))
    assert status == 0, stderr
    assert lowbit.load(out)(np.ones((1, 3, 8, 8), np.float32)).shape == (1, 10)
    assert not [p for p in (full / "cache").rglob("*") if p.is_file()]


@pytest.mark.parametrize("name", ["with spaces and äöü 網路", "q'uo\"te;$HOME"])
def test_folders_of_any_name(name: str, tmp_path: Path) -> None:
    """Cache, temporary folder and output."""
    for part in ("cache", "tmp"):
        (tmp_path / name / part).mkdir(parents=True)
    out = tmp_path / name / "net work.lowbit"
    changes = {"LOWBIT_CACHE": tmp_path / name / "cache", "TMPDIR": tmp_path / name / "tmp"}
    for _ in range(2):  # cold, warm
        status, _, stderr = finish(start(*CLI, *COMPILE, out, **changes))
        assert status == 0, stderr
    assert lowbit.load(out)(np.ones((1, 3, 8, 8), np.float32)).shape == (1, 10)
    status, _, stderr = finish(start(*CLI, "export", out, "--executable", tmp_path / name / "a program", **changes))
    assert status == 0, stderr
    assert os.access(tmp_path / name / "a program", os.X_OK)
    assert list((tmp_path / name / "tmp").iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    """Read-only, as in a container: kernels are compiled and not kept.  (Root may write anywhere but where there is nothing.)"""
    out = tmp_path / "net.lowbit"
    status, _, stderr = finish(start(*CLI, *COMPILE, out, LOWBIT_CACHE="/proc/lowbit"))
    assert status == 0, stderr
    assert lowbit.load(out)(np.ones((1, 3, 8, 8), np.float32)).shape == (1, 10)
