"""What can be wrong with the machine: no C compiler, a broken one, places that cannot be written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import lowbit
from lowbit.errors import ArtifactError, LowbitError, ToolMissing
from lowbit.runtime.compiled import Compiled
from tests import tiny
from tests.errors.processes import CLI, finish, start


@pytest.fixture(scope="module")
def network() -> Compiled:
    return lowbit.compile(*tiny.network())


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_c_compiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    with pytest.raises(ToolMissing, match=r"CC=no-such-compiler -O2 does not run; unset it or name a C compiler, e\.g\. CC=gcc"):
        lowbit.compile(*tiny.network())


def test_a_c_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command and its own words are in the message."""
    text = "import sys\nif sys.argv[1:] == ['--version']: print('broken 1.0')\nelse: sys.exit('disk is on fire')"
    monkeypatch.setenv("CC", str(_script(tmp_path / "broken-cc", text)))
    with pytest.raises(LowbitError, match=r"the C compiler failed \(exit 1\): .*broken-cc (.|\n)*disk is on fire"):
        lowbit.compile(*tiny.network())


def test_no_c_compiler_at_all(tmp_path: Path) -> None:
    """On the command line: one line that says how to get one, exit status 2, no output."""
    (tmp_path / "bin").mkdir()
    out = tmp_path / "net.lowbit"
    process = start(*CLI, "compile", "tests.tiny:network", "-o", out, PATH=tmp_path / "bin", CC=None)
    status, stdout, stderr = finish(process)
    assert (status, stdout) == (2, ""), stderr
    (line,) = [line for line in stderr.splitlines() if "ToolMissing" in line]
    assert "none is installed (tried cc, gcc, clang): apt-get install gcc" in line
    assert "Traceback" not in stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("missing/net.lowbit", "missing: No such file or directory"),
        ("", "Is a directory"),
        ("file/net.lowbit", "Not a directory"),
    ],
)
def test_outputs_that_cannot_be_written(tmp_path: Path, network: Compiled, place: str, reason: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / place
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(ArtifactError, match=f"cannot write {path}: .*{reason}|cannot write {path}: {reason}"):
        network.save(path)
    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path, network: Compiled) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ArtifactError, match="Permission denied"):
        network.save(tmp_path / "net.lowbit")


def test_the_command_line_refuses_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    status, stdout, stderr = finish(start(*CLI, "compile", "tests.tiny:network", "-o", tmp_path / "missing" / "net.lowbit"))
    assert (status, stdout) == (2, ""), stderr
    assert "No such file or directory" in stderr
    assert "Traceback" not in stderr


def test_a_cache_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: Compiled) -> None:
    """It only makes compiling slower."""
    (tmp_path / "cache").touch()
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path / "cache"))
    again = lowbit.compile(*tiny.network())
    assert again.section("library.so") == network.section("library.so")


def test_a_disk_that_is_full(tmp_path: Path, network: Compiled) -> None:
    """/dev/full refuses every write; an artifact is replaced at once or not at all."""
    path = tmp_path / "net.lowbit"
    network.save(path)
    whole = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ArtifactError, match=f"cannot write {path}: No space left on device"):
            network.save(path)
    assert path.read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == ["net.lowbit"]
