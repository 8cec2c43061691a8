"""Killed, interrupted, or two at once: the cache stays sound and an output file is whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import lowbit
from lowbit.runtime.compiled import Compiled
from tests import tiny
from tests.errors.processes import CLI, finish, start


def _command(out: Path, cache: Path) -> subprocess.Popen[str]:
    arguments = ("--weights", "i4", "--activations", "u8", "--target", "x86-64-v3", "-o", out)
    return start(*CLI, "compile", "tests.tiny:network", *arguments, LOWBIT_CACHE=cache)


def _compile(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Compiled:
    monkeypatch.setenv("LOWBIT_CACHE", str(cache))
    with pytest.warns(UserWarning, match="no calibration data"):
        return lowbit.compile(*tiny.network(), weights="i4", activations="u8", target="x86-64-v3", name="network")


def _objects(cache: Path) -> int:
    return len(list((cache / "kernels").rglob("*.o")))


def _wait_for(process: subprocess.Popen[str], cache: Path, objects: int) -> None:
    """Until that many kernels are in the cache, or the process has ended."""
    deadline = time.monotonic() + 120
    while process.poll() is None and _objects(cache) < objects:
        assert time.monotonic() < deadline, "nothing was compiled"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The artifact of a compilation that nothing disturbed."""
    folder = tmp_path_factory.mktemp("reference")
    status, _, stderr = finish(_command(folder / "net.lowbit", folder / "cache"))
    assert status == 0, stderr
    return (folder / "net.lowbit").read_bytes()


def _saved(network: Compiled, path: Path) -> bytes:
    return network.save(path).read_bytes()


@pytest.mark.parametrize(("objects", "delay"), [(1, 0.0), (2, 0.01), (4, 0.05)])
def test_killed_while_kernels_are_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: bytes, objects: int, delay: float
) -> None:
    out, cache = tmp_path / "net.lowbit", tmp_path / "cache"
    process = _command(out, cache)
    _wait_for(process, cache, objects)
    time.sleep(delay)
    process.kill()
    finish(process)
    if out.exists():  # it was faster
        assert out.read_bytes() == reference
    assert _objects(cache) >= 1
    assert _saved(_compile(cache, monkeypatch), tmp_path / "again.lowbit") == reference


def test_whatever_is_left_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: bytes) -> None:
    """Entries cut, emptied, altered, replaced by each other: what a crash of the machine may leave."""
    cache = tmp_path / "cache"
    _compile(cache, monkeypatch)
    entries = sorted((cache / "kernels").rglob("*.o"))
    assert len(entries) >= 4
    entries[0].write_bytes(b"")
    entries[1].write_bytes(entries[1].read_bytes()[:-1])
    entries[2].write_bytes(entries[2].read_bytes()[:40] + b"\xff" + entries[2].read_bytes()[41:])
    entries[3].with_name(".new-left").write_bytes(entries[3].read_bytes()[:10])
    entries[3].unlink()
    assert _saved(_compile(cache, monkeypatch), tmp_path / "net.lowbit") == reference
    assert all(entry.stat().st_size > 40 for entry in entries)


def test_ctrl_c_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: bytes) -> None:
    folder, cache = tmp_path / "out", tmp_path / "cache"
    folder.mkdir()
    process = _command(folder / "net.lowbit", cache)
    _wait_for(process, cache, 1)
    process.send_signal(signal.SIGINT)
    status, _, stderr = finish(process)
    if status == 0:  # it was faster
        assert (folder / "net.lowbit").read_bytes() == reference
    else:
        assert status == 130, stderr
        assert "Traceback" not in stderr
        assert list(folder.iterdir()) == []
    assert _saved(_compile(cache, monkeypatch), tmp_path / "again.lowbit") == reference


def test_ctrl_c_while_saving_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = lowbit.compile(*tiny.network())
    path = tmp_path / "net.lowbit"
    path.write_bytes(b"old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for step in ("fsync", "replace", "fdopen"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                network.save(path)
        assert path.read_bytes() == b"old"
        assert [p.name for p in tmp_path.iterdir()] == ["net.lowbit"]


def test_two_processes_with_one_cache(tmp_path: Path, reference: bytes) -> None:
    cache = tmp_path / "cache"
    outs = [tmp_path / f"{i}.lowbit" for i in range(2)]
    for process in [_command(out, cache) for out in outs]:
        status, _, stderr = finish(process)
        assert status == 0, stderr
    assert [out.read_bytes() == reference for out in outs] == [True, True]
    assert not list(cache.rglob(".new-*"))
