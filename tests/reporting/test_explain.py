"""What the words say, on profiles made by hand: each paragraph where it belongs, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lowbit.kernels.conv2d.forms import FORMS
from lowbit.measure.signal import LayerSignal, Signal
from lowbit.profile.result import Profile
from lowbit.reporting.explain import explain
from lowbit.reporting.explain_signal import explain_signal
from lowbit.reporting.forms_in_words import form_words
from tests.reporting.profiles import conv, operation, profile


def text(shown: Profile, signal: Signal | None = None) -> str:
    return "\n".join(explain(shown, signal))


def test_the_smallest_set_of_layers_that_takes_most_of_the_time() -> None:
    shown = profile(conv("a", "u8_vnni", "u8 i8", 50_000), conv("b", "u8_vnni", "u8 i8", 35_000), operation("p", "pool", 15_000))
    assert "2 of 3 operations take 85 % of the time:" in text(shown)
    assert "  a (u8 x i8, vpdpbusd): 50.0 us, compute-bound: 192 GMAC/s, 80 % of the peak of its instructions" in text(shown)
    assert "  p (" not in text(shown)


def test_what_bounds_an_operation() -> None:
    compute = conv("a", "u8_vnni", "u8 i8", 50_000)
    memory = conv("a", "u8_vnni", "u8 i8", 50_000, share=0.1, memory_ns=40_000.0, level="DRAM")
    writing = conv("a", "u8_vnni", "u8 i8", 50_000, share=0.1, write_ns=30_000.0)
    small = conv("a", "u8_vnni", "u8 i8", 2_000, share=0.1)
    assert [o.bound for o in (compute, memory, writing, small)] == ["compute", "memory", "writing", "small"]
    assert operation("p", "pool", 50_000).bound == "instructions"
    assert operation("p", "pool", 50_000, memory_ns=30_000.0).bound == "memory"
    assert operation("p", "pool", 1_000).bound == "small"
    assert "memory-bound: 4.0 kB from DRAM take 40.0 us at the measured rate" in text(profile(memory))
    streamed = conv(
        "a", "u8_vnni", "u8 i8", 50_000, share=0.1, memory_ns=40_000.0, level="L3", input_bytes=100, weight_bytes=5_000
    )
    assert "5.0 kB of them weights, streamed from L3" in text(profile(streamed))
    assert "bound by writing results (about 60 % of its time): few products a result" in text(profile(writing))
    assert "too small to be bound by anything but being called" in text(profile(small))


def test_shares_of_packing_and_requantizing() -> None:
    shown = profile(
        operation("a", "pack_fields", 10_000),
        conv("a", "lut_permute", "u2 i2", 80_000, write_ns=8_000.0),
        operation("x", "input", 10_000),
    )
    said = text(shown)
    assert "operations that multiply 80 %, packing inputs 10 %, converting inputs and outputs 10 %." in said
    assert "20 % of the time is more than their multiplications take" in said
    assert "(requantize) explain about 10 %" in said


def test_4_bits_on_vnni_are_as_fast_as_8() -> None:
    said = text(profile(conv("a", "u8_vnni", "u4 i4"), conv("b", "u8_vnni", "u3 i3")))
    assert "2 layers of fewer than 8 bits (u4 x i4, u3 x i3) run the 8-bit kernel: vpdpbusd multiplies four pairs" in said
    assert "8 to 3 bits take the same time" in said
    assert "fewer than 8 bits" not in text(profile(conv("a", "u8_vnni", "u8 i8")))
    assert "fewer than 8 bits" not in text(profile(conv("a", "u8_maddubs", "u4 i4")))


def test_containers_change_the_file_and_not_the_speed() -> None:
    said = text(profile(conv("a", "u8_vnni", "u8 i4", container=8)))
    assert "weights of 4 bits are stored in containers of 8 bits" in said
    assert "the size of the file and not the speed" in said
    assert "containers" not in text(profile(conv("a", "u8_vnni", "u8 i4")))


def test_16_bits() -> None:
    plain = text(profile(conv("a", "i16_vnni", "i16 i8")))
    assert (
        "1 layer has 16-bit operands: vpdpwssd multiplies two pairs of int16 a lane and adds them in 32 bits, half as many"
        in plain
    )
    assert "two parts" not in plain
    parted = text(profile(conv("a", "i16_vnni", "i16 i16", parts=2, depth=8)))
    assert "in 1 of them a product of two 16-bit numbers would leave its 32-bit sum, so weights are taken in two parts" in parted
    assert "the 32-bit sums are moved to float64 ones every 8 steps" in parted
    assert "16-bit operands" not in text(profile(conv("a", "i16_vnni", "u8 i8", kind="winograd", saved=4.0)))


def test_layers_kept_wider() -> None:
    said = text(profile(conv("stem", "u8_vnni", "u8 i8", 10_000), conv("b", "lut_permute", "u2 i2", 90_000)))
    assert "1 layer is kept wider (u8 x i8) than the others (u2 x i2): stem, 10 % of the time that multiplies." in said
    assert "vpermb looks up the sum of three two-bit products a byte instead of multiplying" in said
    assert "kept wider" not in text(profile(conv("a", "u8_vnni", "u8 i8"), conv("b", "u8_vnni", "u8 i8")))


def test_each_look_up_says_its_own_width() -> None:
    said = text(
        profile(conv("a", "lut_shuffle_bits", "u1 b1"), conv("b", "lut_shuffle", "u2 i2"), conv("c", "lut_shuffle", "u2 i2"))
    )
    assert "1 layer of 1 bit: vpshufb looks up the sum of four one-bit products a byte instead of multiplying" in said
    assert "2 layers of 2 bits: vpshufb looks up the sum of two two-bit products a byte instead of multiplying" in said


def test_one_bit_and_depthwise() -> None:
    said = text(profile(conv("a", "bit_popcount", "u1 b1")))
    assert "1 layer of 1 bit: xor + vpopcntd counts 32 one-bit products a lane." in said
    assert "depthwise: each input meets only the few weights" in text(profile(conv("a", "i8", "u8 i8", kind="depthwise")))


def test_two_products_in_one_multiplication() -> None:
    said = text(profile(operation("a", "pack_pairs", 3_000), conv("a", "u8_vnni_pairs", "u4 i4")))
    assert "1 layer (u4 x i4): vpdpbusd on sums multiplies sums of pairs, (a + v)(b + u): two products at a time." in said
    assert "fewer bits are faster here" in said
    assert "8-bit kernel" not in said


def test_expected_speed_against_float() -> None:
    said = text(profile(conv("a", "u8_vnni", "u8 i8"), conv("b", "u8_vnni", "u8 i8", share=0.2)))
    assert "By the peaks of its instructions alone this network multiplies 4.00x as fast as plain float32" in said
    assert "Longer than plain float32 would take at its peak: b (below its own peak)." in said
    assert "plain float32" not in text(profile(conv("a", "f32", "f32 f32")))


def test_winograd_is_called_effective() -> None:
    fast = conv("a", "i16_vnni", "u8 i8", kind="winograd", saved=4.0, share=0.75)
    assert fast.gmacs > 240 > 120
    said = text(profile(fast))
    assert "Winograd, u8 x i8, vpdpwssd" in said
    assert "effectively 360 GMAC/s (4x fewer multiplications), 75 % of what that allows" in said
    assert "1 layer is computed by Winograd's algorithm, with 4x fewer multiplications than plainly." in said
    assert "Transformed values of 8 bits take 16, so 16-bit instructions multiply them." in said


def test_winograd_of_few_bits_multiplies_bytes() -> None:
    few = conv("a", "u8_vnni", "u4 i4", kind="winograd", saved=2.25)
    said = text(profile(few))
    assert "Their few bits leave room for the transformed values in bytes" in said
    assert "fewer than 8 bits" not in said  # there, fewer bits do gain
    mixed = text(profile(few, conv("b", "i16_vnni", "u8 i8", kind="winograd", saved=4.0)))
    assert "16-bit instructions multiply them, and bytes only where fewer bits leave room." in mixed
    assert "with 2.25x or 4x fewer" in mixed


def test_a_form_without_a_peak_is_said_to_be_unknown() -> None:
    said = text(profile(conv("a", "quantum", "u8 i8")))
    assert "the peak of quantum is unknown" in said
    assert "as fast as plain float32" not in said


def test_untuned_layers() -> None:
    tuned, not_tuned, nobody_says = (conv(n, "u8_vnni", "u8 i8", tuned=t) for n, t in (("a", True), ("b", False), ("c", None)))
    assert "Not tuned: 1 layer, 50 % of the time, has a kernel chosen by the cost model and not by measurement: b." in text(
        profile(tuned, not_tuned)
    )
    assert "Every kernel with a choice was tuned" in text(profile(tuned, nobody_says))
    assert "tuned" not in text(profile(nobody_says)).lower()


def test_small_operations_and_idle_threads() -> None:
    small = [conv(f"s{i}", "u8_vnni", "u8 i8", 2_000) for i in range(5)]
    shown = profile(*small, conv("big", "u8_vnni", "u8 i8", 30_000), threads=2)
    assert "5 operations under 5.0 us take 25 % of the time" in text(shown)
    assert "1 operation (75 % of the time) gives work to fewer than 2 threads." in text(shown)


def test_time_outside_the_operations() -> None:
    shown = profile(conv("a", "u8_vnni", "u8 i8", 50_000), total_ns=110_000, fastest_ns=100_000, between_ns=50_000)
    assert "Of the fastest run, 50.0 us (50 %) pass in no operation" in text(shown)
    assert "busy" not in text(shown)


def test_uneven_runs() -> None:
    shown = profile(conv("a", "u8_vnni", "u8 i8", 50_000), total_ns=100_000, fastest_ns=50_000)
    assert "The fastest run took 50.0 us: the machine was busy with something else, or its clock changed." in text(shown)


def test_without_peaks_the_reason_is_given() -> None:
    bare = conv("a", "u8_vnni", "u8 i8")
    shown = profile(replace(bare, peak=None, write_ns=None, memory_ns=None), forms={}, memory={}, no_peaks="no compiler")
    assert "nothing can be said about what bounds a layer: no compiler." in text(shown)


def signal(*layers: tuple[str, int, float, bool], alive: bool = True) -> Signal:
    """(name, dead of 10 channels, share of one value, depends)."""
    return Signal(2, tuple(LayerSignal(name, "conv2d", 10, dead, same, depends) for name, dead, same, depends in layers), alive)


def test_a_dead_network_says_so_first() -> None:
    dead = signal(("a", 0, 0.1, True), ("b", 10, 1.0, False), ("c", 10, 1.0, False), alive=False)
    first = explain(profile(conv("a", "bit_popcount", "u1 b1")), dead)[0]
    assert first.startswith("DEAD: this network is dead from layer b on: 2 different inputs gave the same values there.")
    assert "Its speed says nothing about a working network" in first


def test_a_dead_branch_is_not_a_dead_network() -> None:
    said = "\n".join(explain_signal(signal(("a", 10, 1.0, False), ("b", 0, 0.2, True))))
    assert "DEAD" not in said
    assert "The output of a is the same for all 2 inputs; the network lives only by what goes around it." in said
    assert "10 of 20 output channels of the layers that multiply (50 %) hold one value" in said
    assert "a good part of the network is dead" in said


def test_nearly_one_value() -> None:
    assert "Nearly all one value: a (99 % one value)." in explain_signal(signal(("a", 0, 0.994, True)))[0]
    assert explain_signal(signal(("a", 0, 0.5, True))) == ["Every layer's output depends on the input (2 inputs tried)."]


def test_the_last_layers_that_live_come_before_the_dead_ones() -> None:
    assert signal(("a", 0, 1.0, False), ("b", 0, 0.1, True), ("c", 0, 1.0, False), alive=False).dead_from == "c"
    assert signal(("a", 0, 0.1, True), alive=False).dead_from == ""
    assert signal(("a", 0, 1.0, False), alive=True).dead_from == ""


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_words(form: str) -> None:
    assert form_words(form).instruction != form


def test_an_unknown_form_goes_by_its_name() -> None:
    assert form_words("quantum").instruction == "quantum"


def test_tiles_in_words() -> None:
    narrow = text(profile(conv("a", "u8_amx", "u4 i4")))
    assert (
        "tdpbusd multiplies tiles of 16 x 64 bytes, whatever their values, into 32 bits, so 8 to 3 bits take the same time"
        in narrow
    )
    wide = text(profile(conv("a", "i16_amx", "i16 i16")))
    assert "have 16-bit operands" not in wide  # one layer has
    assert "has 16-bit operands: tdpb[us][us]d multiplies the bytes of 16-bit numbers" in wide
    assert "four products for one" in wide
