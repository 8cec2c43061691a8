"""The table of targets, and which of them a host is."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from lowbit import progress
from lowbit.errors import ConfigError, UnknownTarget
from lowbit.targets import TARGETS, Target, find_target, host, table

BOARDS = {"raspberry-pi-3": "cortex-a53", "raspberry-pi-4": "cortex-a72", "raspberry-pi-5": "cortex-a76"}


@pytest.mark.parametrize("name", BOARDS)
def test_boards_have_what_reports_need(name: str) -> None:
    board = find_target(name)
    assert board.machine == "aarch64"
    assert board.mcpu == board.qemu_cpu == BOARDS[name]
    assert min(board.clock_hz, board.cores, board.memory_bytes) > 0
    assert board.mca_cpu


def test_only_the_pi_5_has_dot_products() -> None:
    assert [t.name for t in TARGETS.values() if "dotprod" in t.features] == ["raspberry-pi-5"]


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UnknownTarget, match="'commodore-64'; known targets: native, x86-64, .*raspberry-pi-4"):
        find_target("commodore-64")


@pytest.mark.parametrize(
    ("machine", "features", "name"),
    [
        ("aarch64", "neon fp crc32", "aarch64"),
        ("aarch64", "neon fp crc32 lse dotprod", "raspberry-pi-5"),
        ("x86_64", "sse2 ssse3", "x86-64"),
        ("x86_64", "sse2 ssse3 sse4.1 avx2 fma neon dotprod", "x86-64-v3"),
        ("x86_64", "sse2 ssse3 sse4.1 avx2 fma avxvnni", "x86-64-v3-vnni"),
    ],
)
def test_native_goes_by_the_host(monkeypatch: pytest.MonkeyPatch, machine: str, features: str, name: str) -> None:
    monkeypatch.setattr(host, "host_machine", lambda: machine)
    monkeypatch.setattr(host, "host_features", lambda: frozenset(features.split()))
    assert find_target("native").name == name


_AMX = "sse2 ssse3 sse4.1 avx2 fma avx512f avx512bw avx512dq avx512vl avx512vnni avx512vpopcntdq avx512vbmi amx-tile amx-int8"


@pytest.mark.parametrize(("more", "best"), [("", "x86-64-v4-amx"), (" amx-bf16", "x86-64-v4-amx-bf16")])
@pytest.mark.parametrize("error", [0, 28])
def test_tiles_need_the_permission_of_the_system(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: int, more: str, best: str
) -> None:
    """One that is denied is noted, the most capable."""
    name = "x86-64-v4-vnni-popcnt" if error else best
    for module in (host, table):
        monkeypatch.setattr(module, "host_machine", lambda: "x86_64")
        monkeypatch.setattr(module, "host_features", lambda: frozenset((_AMX + more).split()))
    monkeypatch.setattr(host, "_tile_permission", lambda: error)
    monkeypatch.setattr(progress, "_noticed", set())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert find_target("native").name == name
    said = capsys.readouterr().err
    why = "the system does not let this process use amx-tile (arch_prctl: No space left on device)"
    assert said == ("" if not error else f"note: kernels are made for {name}, not for {best}; {why}\n")
    assert host.obstacle(TARGETS[best]) == ("" if not error else f"; {why}")


def test_cpuinfo_names_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_cpuinfo", lambda: {"flags": "sse2 amx_bf16 amx_tile amx_int8"})
    assert {"amx-tile", "amx-int8", "amx-bf16"} <= host.host_features.__wrapped__()


def test_what_is_emulated_is_never_native(monkeypatch: pytest.MonkeyPatch) -> None:
    emulated = TARGETS["x86-64-v3-amx-emulated"]
    monkeypatch.setattr(table, "TARGETS", {emulated.name: emulated})
    monkeypatch.setattr(table, "obstacle", lambda target: "")
    with pytest.raises(UnknownTarget, match="no native target"):
        find_target("native")
    assert find_target(emulated.name).instructions > emulated.features


def test_no_native_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "host_machine", lambda: "riscv64")
    monkeypatch.setattr(table, "host_machine", lambda: "riscv64")
    with pytest.raises(UnknownTarget, match="no native target for a riscv64 host"):
        find_target("native")


def test_targets_as_json() -> None:
    for target in TARGETS.values():
        tried = replace(target, without=frozenset({"winograd"}))
        assert Target.from_json(json.loads(json.dumps(tried.to_json()))) == tried


@pytest.mark.parametrize("wrong", [{"name": "my cpu"}, {"name": ""}, {"triple": "/x-linux"}, {"features": frozenset({"a,b"})}])
def test_a_target_is_made_of_names(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is not of letters, digits"):
        replace(TARGETS["x86-64"], **wrong)
