"""Two networks side by side: the puzzles, with profiles made by hand."""

from __future__ import annotations

from lowbit.measure.signal import LayerSignal, Signal
from lowbit.profile.result import Profile
from lowbit.reporting.explain_difference import explain_difference, match_layers, reason
from tests.reporting.profiles import conv, operation, profile


def text(before: Profile, after: Profile, **options: object) -> str:
    return "\n".join(explain_difference(before, after, ("A", "B"), **options))  # type: ignore[arg-type]


def net(form: str, types: str, ns: int, **fields: object) -> Profile:
    """Three layers that multiply 10^7 times each."""
    layers = [conv(name, form, types, ns, **{"macs": 10_000_000, **fields}) for name in ("a", "b", "c")]
    return profile(operation("x", "input", 3_000), *layers)


def test_8_and_4_bits_take_the_same_time_and_the_reason_is_the_instruction() -> None:
    said = text(net("u8_vnni", "u8 i8", 50_000), net("u8_vnni", "u4 i4", 50_500))
    assert "B takes 154.5 us where A takes 153.0 us: the same speed (0.99x)." in said
    assert "3 layers, 98 % of the time, the same speed (0.99x): the same kernel form (u8 x i8 and u4 x i4)" in said
    assert "vpdpbusd multiplies any 8-bit operands, so 8 to 3 bits take the same time" in said


def test_the_same_bits_in_another_container() -> None:
    said = text(net("u8_vnni", "u4 i4", 50_000, container=8), net("u8_vnni", "u4 i4", 50_000, container=4))
    assert "the same kernel (vpdpbusd): weights take 8 and 4 bits in the file and the same in memory" in said


def test_16_bits_against_8() -> None:
    wide = net("i16_vnni", "i16 i16", 190_000, parts=2, depth=8)
    said = text(net("u8_vnni", "u8 i8", 50_000), wide)
    assert "vpdpwssd instead of vpdpbusd, 0.25x by their peaks: 16-bit operands, half as many a vector as bytes" in said
    assert "weights in two parts, so two multiplications each and 32-bit sums moved to float64 block by block" in said
    assert "Most time lost:" in said
    back = text(wide, net("u8_vnni", "u8 i8", 50_000))
    assert "vpdpbusd instead of vpdpwssd, 4.00x by their peaks: twice as many bytes as int16 a vector" in back
    assert "the int16 ones had weights in two parts" in back


def test_float_against_8_bits() -> None:
    said = text(net("f32", "f32 f32", 190_000), net("u8_vnni", "u8 i8", 50_000))
    assert "vpdpbusd instead of fused multiply-add, 4.00x by their peaks" in said
    assert "Multiplying at the peaks of their instructions would make it 4.00x as fast." in said
    assert "What gains less" not in said


def test_what_did_not_get_faster_and_why() -> None:
    macs = {"macs": 10_000_000}
    before = profile(
        conv("memory", "f32", "f32 f32", 200_000, **macs), conv("small", "f32", "f32 f32", 5_000, macs=100_000),
        conv("depth", "f32", "f32 f32", 200_000, kind="depthwise", **macs), conv("packed", "f32", "f32 f32", 200_000, **macs),
        conv("slow", "f32", "f32 f32", 200_000, **macs), conv("writing", "f32", "f32 f32", 200_000, **macs),
    )  # fmt: skip
    after = profile(
        conv("memory", "u8_vnni", "u8 i8", 190_000, memory_ns=180_000.0, **macs),
        conv("small", "u8_vnni", "u8 i8", 4_000, macs=100_000),
        conv("depth", "i8", "u8 i8", 190_000, kind="depthwise", peak=120.0, **macs), operation("packed", "pack_fields", 60_000),
        conv("packed", "lut_permute", "u2 i2", 100_000, **macs), conv("slow", "u8_vnni", "u8 i8", 150_000, **macs),
        conv("writing", "u8_vnni", "u8 i8", 190_000, write_ns=150_000.0, **macs),
    )  # fmt: skip
    said = text(before, after)
    said = said[said.index("What gains less") :]
    assert "memory-bound: the bytes take the time, not the products: memory (1.05x)" in said
    assert "under 5.0 us, where being called costs as much as computing: small" in said
    assert "depthwise: loading, widening and writing weigh as much as multiplying: depth" in said
    assert "preparing the input takes part of the gain: packed" in said
    assert "further from the peak of its faster instructions (loads, tile edges and writing results stay): slow" in said
    assert "few products a result: scaling, rounding and storing results take the time: writing" in said


def test_layers_kept_as_they_were() -> None:
    before = profile(conv("stem", "u8_vnni", "u8 i8"), conv("b", "u8_vnni", "u8 i8"))
    after = profile(conv("stem", "u8_vnni", "u8 i8"), conv("b", "lut_permute", "u2 i2", 25_000))
    said = text(before, after)
    assert "the same kernel (vpdpbusd): kept at u8 x i8 in both" in said
    assert "vpermb instead of vpdpbusd, 2.00x by their peaks: looks up the sum of three two-bit products a byte" in said
    assert "Most time saved:\n  b: 50.0 us to 25.0 us, (2)" in said


def test_winograd_in_one_of_them() -> None:
    before, after = conv("a", "u8_vnni", "u8 i8"), conv("a", "i16_vnni", "u8 i8", 25_000, kind="winograd", saved=4.0)
    expected = "2.00x by their peaks (4x fewer multiplications now than the plain algorithm)"
    assert reason(before, after) == f"Winograd with vpdpwssd instead of vpdpbusd, {expected}"


def test_winograd_of_fewer_bits() -> None:
    before = conv("a", "i16_vnni", "u8 i8", kind="winograd", saved=4.0)
    after = conv("a", "u8_vnni", "u4 i4", kind="winograd", saved=2.25)
    said = reason(before, after)
    assert "1.12x by their peaks (4x fewer multiplications before, 2.25x fewer multiplications now than the plain" in said
    assert "the few bits of u4 x i4 leave room for transformed values in bytes, 8 bits need 16-bit instructions" in said


def test_time_outside_the_operations() -> None:
    slow = profile(conv("a", "u8_vnni", "u8 i8"), total_ns=100_000, fastest_ns=100_000, between_ns=50_000)
    said = text(slow, profile(conv("a", "u8_vnni", "u8 i8")))
    assert "Outside the operations, in the call itself and its memory: 50.0 us of A and 0.0 us of B" in said
    assert "B takes 50.0 us where A takes 100.0 us: 2.00x as fast. Their operations alone: 50.0 us and 50.0 us, the same" in said


def test_depths_of_maddubs() -> None:
    before, after = conv("a", "u8_maddubs", "u8 i8", depth=1), conv("a", "u8_maddubs", "u4 i4", depth=0)
    assert reason(before, after).startswith("vpmaddubsw in both, with 1 and all steps summed in 16 bits")


def test_operations_without_multiplications() -> None:
    before, after = operation("p", "pool", 10_000), operation("p", "pool", 5_000, input_bytes=500)
    assert reason(before, after) == "no multiplications; 2.5 kB are moved instead of 4.0 kB"


def test_matching_counts_every_operation_of_a_layer_and_the_input_by_any_name() -> None:
    before = profile(operation("x", "input", 1_000), conv("a", "f32", "f32 f32"), operation("a", "output", 500))
    after = profile(
        operation("x.quantize", "input", 1_000), operation("a", "pack_bits", 5_000), conv("a", "bit_popcount", "u1 b1", 20_000),
        operation("a", "output", 500), operation("only here", "pool", 100),
    )  # fmt: skip
    pairs = match_layers(before, after)
    assert [pair.name for pair in pairs] == ["x (input)", "a", "a (output)"]
    assert pairs[1].after_ns == 25_000
    said = text(before, after)
    assert "3 of 3 layers of A have a layer of the same name among the 4 of B." in said
    assert "(5.0 us of it to pack the input)" in said


def test_different_networks() -> None:
    said = text(profile(conv("a", "u8_vnni", "u8 i8")), profile(conv("b", "u8_vnni", "u8 i8")))
    assert "0 of 1 layers of A have a layer of the same name among the 1 of B." in said
    assert "these are different networks, and only their totals can be compared" in said


def test_a_dead_network_is_named_before_its_speed() -> None:
    dead = Signal(2, (LayerSignal("b", "conv2d", 4, 4, 1.0, False),), False)
    said = text(net("u8_vnni", "u8 i8", 50_000), net("bit_popcount", "u1 b1", 9_000), signals=(None, dead))
    assert said.startswith("B: DEAD: this network is dead from layer b on")
