"""Files of fitted costs: which there are, and which of them a CPU has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lowbit.backend.cache import entry_path
from lowbit.errors import ConfigError
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.selection.decide import REALIZERS
from lowbit.kernels.data_movement.spec import InputSpec
from lowbit.kernels.layout import Layout
from lowbit.targets import TARGETS, Target, find_target, host, table
from lowbit.targets.costs import costs_in_words, costs_names, nearest_costs, read_costs
from lowbit.targets.host import Cpu

INTEL, AMD = "GenuineIntel", "AuthenticAMD"
V3, POPCNT, AMX = "x86-64-v3", "x86-64-v4-vnni-popcnt", "x86-64-v4-amx-bf16"


def write(folder: Path, cpu: Cpu, target: str = V3, factors: object = None) -> Path:
    path = folder / f"{cpu.name}.json"
    numbers = {"vendor": cpu.vendor, "family": cpu.family, "model": cpu.model}
    path.write_text(json.dumps({"cpu": numbers, "target": target, "factors": factors or {}}))
    return path


@pytest.mark.parametrize("name", costs_names())
def test_what_comes_with_lowbit(name: str) -> None:
    costs = read_costs(name)
    assert costs.cpu.name == name
    assert costs.target in TARGETS
    for algorithm, of_forms in costs.factors.items():
        assert algorithm in REALIZERS
        assert of_forms.keys() <= FORMS.keys()
        assert all(FORMS[form].available(TARGETS[costs.target]) for form in of_forms)


@pytest.mark.parametrize("name", [name for name in costs_names() if read_costs(name).factors])
def test_what_was_fitted_is_better_on_problems_it_was_not_fitted_to(name: str) -> None:
    path = Path(table.__file__).parent / "costs" / f"{name}.json"
    regret = json.loads(path.read_text())["fit"]["regret"]
    assert regret["fitted to the other half"]["total"] < regret["typed"]["total"]


def test_the_nearest(tmp_path: Path) -> None:
    for cpu in (Cpu(AMD, 25, 1), Cpu(AMD, 25, 33), Cpu(AMD, 23, 49), Cpu(INTEL, 6, 85)):
        write(tmp_path, cpu)
    write(tmp_path, Cpu(INTEL, 6, 207), POPCNT)
    for cpu, target, name in (
        (Cpu(AMD, 25, 33), V3, "amd-25-33"),
        (Cpu(AMD, 25, 20), V3, "amd-25-33"),
        (Cpu(AMD, 25, 17), V3, "amd-25-1"),  # as near as the other: the first by name
        (Cpu(AMD, 23, 1), V3, "amd-23-49"),
        (Cpu(INTEL, 6, 207), V3, "intel-6-85"),
        (Cpu("HygonGenuine", 24, 1), V3, "amd-25-1"),
        (Cpu(AMD, 25, 17), POPCNT, "intel-6-207"),
        (Cpu(INTEL, 6, 207), "x86-64-v4", ""),
        (None, V3, ""),
    ):
        assert nearest_costs(cpu, target, folder=tmp_path) == name
    wide = ("x86-64-v4", POPCNT)  # whose vectors are as long: only another file of the same vendor's
    assert nearest_costs(Cpu(INTEL, 6, 85), "x86-64-v4", wide, tmp_path) == "intel-6-207"
    assert nearest_costs(Cpu(AMD, 25, 17), "x86-64-v4", wide, tmp_path) == ""


def test_factors(tmp_path: Path) -> None:
    write(tmp_path, Cpu(AMD, 1, 1), V3, {"direct": {"u8_split": 1.25}, "winograd2": {"i16_maddwd": 2}})
    costs = read_costs("amd-1-1", tmp_path)
    assert costs.factor("direct", "u8_split") == 1.25
    assert costs.factor("winograd2", "i16_maddwd") == 2.0
    assert costs.factor("winograd4", "i16_maddwd") == costs.factor("direct", "i16_maddwd") == 1.0
    assert read_costs("").factor("direct", "u8_split") == 1.0


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"cpu": {}}', *(f'{{"cpu": {{"vendor": "a", "family": 1, "model": 1}}, "target": "t", "factors": {wrong}}}'
      for wrong in ("[]", '{"direct": 1}', '{"direct": {"f32": 0}}', '{"direct": {"f32": "2"}}', '{"direct": {"f32": NaN}}'))],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "a-1-1.json").write_text(content)
    with pytest.raises(ConfigError, match=r"costs .*a-1-1\.json cannot be read"):
        read_costs("a-1-1", tmp_path)


def test_a_missing_file_names_those_there_are(tmp_path: Path) -> None:
    write(tmp_path, Cpu(AMD, 1, 1))
    with pytest.raises(ConfigError, match="no costs 'z80' in .*; there are: amd-1-1"):
        read_costs("z80", tmp_path)


@pytest.mark.parametrize(
    ("info", "cpu"),
    [
        ({"vendor_id": INTEL, "cpu family": "6", "model": "207", "model name": "x"}, Cpu(INTEL, 6, 207)),
        ({"CPU implementer": "0x41", "CPU architecture": "8", "CPU part": "0xd0b"}, Cpu("0x41", 8, 0xD0B)),
        ({"CPU implementer": "0x41", "CPU architecture": "AArch64", "CPU part": "0xd0b"}, None),
        ({"vendor_id": INTEL}, None),
        ({}, None),
    ],
)
def test_what_a_cpu_says_of_itself(monkeypatch: pytest.MonkeyPatch, info: dict[str, str], cpu: Cpu | None) -> None:
    monkeypatch.setattr(host, "_cpuinfo", lambda: info)
    assert host.host_cpu() == cpu


def test_names_of_cpus() -> None:
    assert [Cpu(*cpu).name for cpu in ((INTEL, 6, 207), (AMD, 25, 17), ("0x41", 8, 3339))] == [
        "intel-6-207",
        "amd-25-17",
        "0x41-8-3339",
    ]


def test_only_this_machine_has_fitted_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "obstacle", lambda target: "" if target.machine == "x86_64" else ", no")
    monkeypatch.setattr(table, "host_cpu", lambda: Cpu(INTEL, 6, 207))
    assert find_target("native").costs == "intel-6-207"
    assert find_target("native") == replace(TARGETS[AMX], costs="intel-6-207")
    monkeypatch.setattr(table, "obstacle", lambda target: ", no" if target.machine != "x86_64" or "-amx" in target.name else "")
    assert find_target("native") == replace(TARGETS[POPCNT], costs="intel-6-207")
    monkeypatch.setattr(table, "host_cpu", lambda: Cpu(AMD, 25, 97))
    assert find_target("native").costs == "amd-25-17"
    assert {find_target(name).costs for name in TARGETS} == {""}


def test_in_words() -> None:
    assert costs_in_words("", Cpu(AMD, 1, 1)) == "as typed: nothing is fitted for a CPU like this"
    intel = "intel-6-207, fitted to GenuineIntel family 6 model 207"
    assert costs_in_words("intel-6-207", Cpu(INTEL, 6, 207)) == f"{intel}, this CPU"
    assert costs_in_words("intel-6-207", Cpu(INTEL, 6, 143)) == f"{intel}, the nearest to this CPU"


def test_costs_choose_kernels_and_do_not_change_them() -> None:
    plain = TARGETS[POPCNT]
    fitted = replace(plain, costs="intel-6-207")
    at = Layout(1, 4, 4, 16, 16)
    spec = InputSpec(dst=at, strides=(256, 64, 16, 1))
    assert entry_path(spec, fitted) == entry_path(spec, plain)
    old = plain.to_json()
    del old["costs"]  # as artifacts hold that are older than costs
    assert Target.from_json(old) == plain
    with pytest.raises(ConfigError, match="the costs '../x' is not of letters"):
        replace(plain, costs="../x")
