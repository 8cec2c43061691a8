from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lowbit.backend.toolchain import _version, find_compiler, find_objcopy
from lowbit.errors import LowbitError, ToolMissing
from lowbit.targets.host import host_machine
from tests.backend.toy import TARGET


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    _version.cache_clear()
    monkeypatch.delenv("CC", raising=False)


def test_finds_one_with_a_version() -> None:
    compiler = find_compiler(TARGET)
    assert compiler.version
    assert compiler.command[0] in ("cc", "gcc", "clang")


def test_cc_is_obeyed_with_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "gcc -m64")
    assert find_compiler(TARGET).command == ("gcc", "-m64")


def test_a_cc_that_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/no/such/compiler")
    with pytest.raises(ToolMissing, match="CC=/no/such/compiler does not run"):
        find_compiler(TARGET)


def test_without_any_compiler_the_message_says_how_to_install_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match=r"tried cc, gcc, clang.*apt-get install gcc"):
        find_compiler(TARGET)
    with pytest.raises(ToolMissing, match=r"objcopy.*apt-get install binutils"):
        find_objcopy(TARGET)


def test_another_architecture_needs_a_cross_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("lowbit.backend.toolchain.find_spec", lambda name: None)
    other = "aarch64" if host_machine() == "x86_64" else "x86_64"
    with pytest.raises(ToolMissing, match=f"a C compiler for {other}.*{other}-linux-gnu-gcc"):
        find_compiler(replace(TARGET, triple=f"{other}-linux-gnu"))


def test_a_failing_compilation_shows_command_and_reason(tmp_path: Path) -> None:
    (tmp_path / "bad.c").write_text("int main(void) { return undeclared; }\n")
    with pytest.raises(LowbitError, match=r"(?s)bad\.c.*undeclared"):
        find_compiler(TARGET).run(["-c", "bad.c"], tmp_path)
