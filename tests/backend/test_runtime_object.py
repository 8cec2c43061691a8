from __future__ import annotations

from pathlib import Path

import pytest

from lowbit.backend import runtime_object as module
from lowbit.backend.runtime_object import RUNTIME_FOLDER, runtime_object
from lowbit.backend.toolchain import C_FLAGS, find_compiler
from tests.backend.toy import TARGET

COMPILER = find_compiler(TARGET)


def test_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    first = runtime_object(COMPILER, TARGET)
    assert first[:4] == b"\x7fELF"
    monkeypatch.setattr(module, "_compile", lambda *_: pytest.fail("compiled again"))
    assert runtime_object(COMPILER, TARGET) == first
    assert not list(tmp_path.rglob(".new-*"))


def test_a_damaged_entry_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    first = runtime_object(COMPILER, TARGET)
    (entry,) = (tmp_path / "runtime").iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert runtime_object(COMPILER, TARGET) == first
    assert entry.read_bytes()[32:] == first


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path / "file"))
    assert runtime_object(COMPILER, TARGET)[:4] == b"\x7fELF"


@pytest.mark.parametrize("standard", ["-std=c11", "-std=c++17"])
def test_the_public_header_is_strict_c_and_cplusplus(tmp_path: Path, standard: str) -> None:
    name = "use.cpp" if "+" in standard else "use.c"
    (tmp_path / name).write_text('#include "lowbit.h"\nint main(void) { return lowbit_threads(0); }\n')
    flags = [f for f in C_FLAGS if not f.startswith("-std")]
    COMPILER.run([*flags, standard, "-pedantic", f"-I{RUNTIME_FOLDER}", "-c", name], tmp_path)
