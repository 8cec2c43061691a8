"""The puzzles that made people doubt low-bit networks, on real small ones: compiled, run and explained.

The machine's peaks are a fixed table, so that the words do not depend on who else uses it; everything else is real.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

import lowbit
from lowbit.measure.signal import check_signal, signal_inputs
from lowbit.profile import take as profile_module
from lowbit.profile.peaks import Peaks
from lowbit.profile.result import Profile, ProfiledOperation
from lowbit.profile.sequences import Finish, Sequence
from lowbit.reporting.explain import explain
from lowbit.reporting.explain_difference import explain_difference
from lowbit.runtime.compiled import Compiled
from lowbit.targets import TARGETS
from lowbit.targets.host import obstacle
from tests import tiny
from tests.reporting.profiles import PEAKS


def target(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(obstacle(TARGETS[name])), reason=f"this CPU does not run {name}")


@pytest.fixture(autouse=True)
def _known_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(target: object, threads: int, loops: list[Sequence], finishes: list[Finish], *_: object) -> Peaks:
        multiply = {loop: PEAKS.get(loop.form, 50.0) / loop.parts for loop in loops}
        return Peaks(threads, multiply, dict.fromkeys(finishes, 10.0), {"DRAM": 30.0}, {})

    monkeypatch.setattr(profile_module, "measure_peaks", measure)


@cache
def network(config: str, machine: str = "x86-64-v4-vnni", make: Callable[[], tuple[object, object]] = tiny.network) -> Compiled:
    model, example = make()
    return lowbit.compile(model, example, config=config, calibration=[example], target=machine, threads=1, name=config)


def taken(config: str, machine: str = "x86-64-v4-vnni") -> Profile:
    compiled = network(config, machine)
    return compiled.profile(*signal_inputs(compiled, 1)[0], runs=2)


def body(profile: Profile) -> ProfiledOperation:
    return next(o for o in profile if o.layer == "body" and o.macs)


def difference(before: Profile, after: Profile) -> str:
    return "\n".join(explain_difference(before, after, (before.name, after.name)))


@target("x86-64-v4-vnni")
def test_8_and_4_bits_have_the_same_speed_on_vnni() -> None:
    eight, four = taken("8/int8"), taken("4/int8")
    assert (body(eight).form, body(four).form) == ("u8_vnni", "u8_vnni")
    said = difference(eight, four)
    assert "the same kernel form (u8 x i8 and u4 x i4): vpdpbusd multiplies any 8-bit operands" in said
    alone = "\n".join(explain(four))
    assert "1 layer of fewer than 8 bits (u4 x i4) runs the 8-bit kernel" in alone
    assert "1 layer: weights of 4 bits are stored in containers of 8 bits" in alone
    assert "2 layers are kept wider (u8 x i8) than the others (u4 x i4): stem, head" in alone


@target("x86-64-v4-vnni")
def test_2_bits_say_what_their_kernel_does() -> None:
    two = taken("2/int8")
    said = difference(taken("8/int8"), two)
    expected = {
        "u8_vnni": "the same kernel form (u8 x i8 and u2 x i2): vpdpbusd multiplies any 8-bit operands",
        "lut_shuffle": "vpshufb instead of vpdpbusd",
    }
    assert expected[body(two).form] in said


@target("x86-64-v4-vnni")
def test_4_bits_in_4_or_8_bits_of_storage_are_the_same_kernel() -> None:
    said = difference(taken("4/int8"), taken("4/int4"))
    assert "the same kernel (vpdpbusd): weights take 8 and 4 bits in the file and the same in memory" in said


@target("x86-64-v4-vnni")
def test_int16_multiplies_half_as_many_pairs_in_two_parts() -> None:
    wide = taken("16/int16")
    assert (body(wide).form, body(wide).parts) == ("i16_vnni", 2)
    said = difference(taken("8/int8"), wide)
    assert "vpdpwssd instead of vpdpbusd, 0.25x by their peaks: 16-bit operands, half as many a vector as bytes" in said
    assert "weights in two parts, so two multiplications each" in said
    assert "in 3 of them a product of two 16-bit numbers would leave its 32-bit sum" in "\n".join(explain(wide))


@target("x86-64-v3")
def test_without_vnni_fewer_bits_are_fewer_widenings() -> None:
    eight, four = taken("8/int8", "x86-64-v3"), taken("4/int4", "x86-64-v3")
    assert "vpdpbusd" not in difference(eight, four)
    assert "vpmaddubsw" in difference(eight, four)
    assert "8-bit kernel" not in "\n".join(explain(four))


@target("x86-64-v4-vnni")
def test_a_dead_1_bit_network_is_not_a_fast_one() -> None:
    dead = network("1/int1", make=tiny.dead)
    inputs = signal_inputs(dead, 2)
    signal = check_signal(dead.graph(), inputs)
    profile = dead.profile(*inputs[0], runs=2)
    assert explain(profile, signal)[0].startswith("DEAD: this network is dead from layer body")
    said = explain_difference(taken("8/int8"), profile, ("8 bits", "1 bit"), (None, signal))
    assert said[0].startswith("1 bit: DEAD: this network is dead from layer body")
    assert "says nothing about a working network" in said[0]
