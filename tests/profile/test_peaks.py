"""Measured peaks: which loop stands for which kernel, that the loops run, and that they are measured once."""

from __future__ import annotations

import ctypes
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lowbit.errors import ToolMissing
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.depthwise_conv2d.spec import DepthwiseSpec
from lowbit.kernels.layout import Layout
from lowbit.kernels.pool.spec import PoolSpec
from lowbit.profile import peaks, probes
from lowbit.profile.peaks import Peaks, measure_peaks, peaks_path
from lowbit.profile.sequences import Finish, Sequence, finish_of, multiplications_saved, plain_sequences, sequence_of
from lowbit.targets import TARGETS, find_target
from lowbit.targets.host import obstacle

VNNI, AVX2 = TARGETS["x86-64-v4-vnni"], TARGETS["x86-64-v3"]
BYTES, FLOATS = Layout(1, 8, 8, 32, 32), Layout(1, 8, 8, 32, 32, "f32")


def spec(form: str, **fields: object) -> dict[str, object]:
    plain = ConvSpec(
        op="conv2d",
        src=BYTES,
        dst=BYTES,
        residual=None,
        kernel=(3, 3),
        stride=(1, 1),
        dilation=(1, 1),
        padding=(1, 1),
        act="u8",
        weight="i8",
        form=form,
        k_group=4,
        depth=1,
        mr=4,
        nr=32,
        m_tiles=2,
        n_blocks=1,
    )
    return json.loads(json.dumps(replace(plain, **fields).to_json()))  # type: ignore[arg-type]


def depthwise(form: str, rows: int, wide: bool = False) -> dict[str, object]:
    return DepthwiseSpec(
        src=BYTES,
        dst=BYTES,
        residual=None,
        kernel=(rows, 3),
        stride=(1, 1),
        dilation=(1, 1),
        padding=(1, 1),
        act="u8",
        weight="i8",
        form=form,
        wide=wide,
    ).to_json()


def test_the_loop_of_a_kernel() -> None:
    assert sequence_of(spec("u8_vnni"), VNNI) == (Sequence("u8_vnni"), 1.0)
    assert sequence_of(spec("u8_maddubs", depth=8), VNNI) == (Sequence("u8_maddubs", 8), 1.0)
    assert sequence_of(spec("u8_maddubs", depth=128), VNNI) == (Sequence("u8_maddubs", 0), 1.0)
    assert sequence_of(spec("u8_split"), VNNI) == (Sequence("u8_maddubs", 1), 1.0)
    assert sequence_of(spec("u8_smull_pairs"), TARGETS["raspberry-pi-4"]) == (Sequence("u8_smull_pairs", 1), 1.0)
    wide = spec("i16_vnni", parts=2, wide=True, src=replace(BYTES, dtype="i16"), depth=0)
    assert sequence_of(wide, VNNI) == (Sequence("i16_vnni", 0, 2, True, "i16"), 1.0)


def test_the_names_in_the_cache_tell_loops_apart() -> None:
    loops = [
        *plain_sequences(VNNI),
        *(Sequence("u8_maddubs", depth) for depth in (1, 2)),
        Sequence("i16_vnni", 0, 2, True, "i16"),
    ]
    assert len({str(loop) for loop in loops}) == len(loops)
    finishes = [
        Finish("f32", "f32"),
        Finish("f32", "f32", "f32"),
        Finish("f32", "f32", "", True),
        Finish("f32", "f32", "", False, True),
    ]
    assert len({str(finish) for finish in finishes}) == len(finishes)


def test_three_rows_of_a_depthwise_kernel_use_three_quarters_of_the_instruction() -> None:
    assert sequence_of(depthwise("i8", 3), VNNI) == (Sequence("i16_vnni", src="i16"), 0.75)
    assert sequence_of(depthwise("i8", 2), AVX2) == (Sequence("i16_maddwd", src="i16"), 1.0)
    assert sequence_of(depthwise("i8", 2), replace(AVX2, costs="nobody-1-1")) == (Sequence("i16_maddwd", src="i16"), 1.0)
    assert sequence_of(depthwise("i16", 2, wide=True), AVX2) == (Sequence("i16_maddwd", src="i16"), 0.5)
    assert sequence_of(depthwise("f32", 3), VNNI) == (Sequence("f32", src="f32"), 1.0)


def test_winograd_multiplies_less() -> None:
    four = {"kind": "winograd", "form": "i16_vnni", "m": 4, "depth": 1}
    assert sequence_of(four, VNNI) == (Sequence("i16_vnni", src="i16"), 4.0)
    assert multiplications_saved({**four, "m": 2}) == 2.25
    assert multiplications_saved(spec("u8_vnni")) == 1.0
    assert finish_of(four, VNNI) is None


def test_what_is_not_known_has_no_peak() -> None:
    assert sequence_of(spec("quantum"), VNNI) is None
    assert sequence_of(spec("u8_vnni"), AVX2) is None
    assert sequence_of(PoolSpec(fn="max", src=BYTES, dst=BYTES).to_json(), VNNI) is None
    assert sequence_of({"kind": "new", "form": "u8_vnni"}, VNNI) is None
    assert finish_of(spec("quantum"), VNNI) is None


def test_how_results_are_written() -> None:
    assert finish_of(spec("u8_vnni", residual=BYTES), VNNI) == Finish("u8_vnni", "u8", "u8")
    assert finish_of(spec("f32", src=FLOATS, dst=FLOATS), VNNI) == Finish("f32", "f32")


@pytest.fixture
def fast_and_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Short trials, little memory, and a cache of the test's own."""
    monkeypatch.setattr(probes, "_TRIAL_S", 2e-4)
    monkeypatch.setattr(probes, "_TRIALS", 3)
    monkeypatch.setattr(probes, "_DRAM_BYTES", 1 << 22)
    monkeypatch.setattr(probes, "cache_sizes", lambda target: {"L1": 32 << 10, "L2": 512 << 10})
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    return tmp_path


def test_every_form_of_this_machine_can_be_measured(fast_and_own: Path) -> None:
    """And the numbers are of this world: no loop was optimised away, none waits for memory."""
    target = find_target()
    found = measure_peaks(target, 1, plain_sequences(target), [Finish("f32", "f32")])
    assert {loop.form for loop in found.multiply} >= {"f32", "u8_portable", "i16_portable"}
    assert all(0.1 < rate < 20_000 for rate in found.multiply.values())
    floats = found.multiply[Sequence("f32", src="f32")]
    assert floats < 1_000
    if "avx512vnni" in target.features:
        assert 2.5 < found.multiply[Sequence("u8_vnni")] / floats < 6
        assert 1.3 < found.multiply[Sequence("i16_vnni", 0, src="i16")] / floats < 3
    assert 0.01 < found.write[Finish("f32", "f32")] < 500
    assert list(found.memory) == ["L2", "DRAM"]
    assert all(0.1 < rate < 5_000 for rate in found.memory.values())


def test_two_parts_take_two_multiplications(fast_and_own: Path) -> None:
    one, two = Sequence("i16_portable", 0, 1, True, "i16"), Sequence("i16_portable", 0, 2, True, "i16")
    found = measure_peaks(replace(find_target(), costs="nobody-1-1"), 1, [one, two])
    assert 0.3 < found.multiply[two] / found.multiply[one] < 0.75


def test_threads_work_at_the_same_time(fast_and_own: Path) -> None:
    found = measure_peaks(find_target(), 2, [Sequence("f32", src="f32")])
    assert found.threads == 2
    assert found.multiply[Sequence("f32", src="f32")] > 0


def test_a_peak_is_measured_once_and_kept_for_the_machine(fast_and_own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    target, loop = find_target(), Sequence("f32", src="f32")
    rates = {"first": 5.0, "second": 3.0, "third": 9.0}
    turn = iter(rates.values())
    monkeypatch.setattr(probes, "rates", lambda asked, *_: dict.fromkeys((p.symbol for p in asked), next(turn)))
    assert measure_peaks(target, 1, [loop], say=said.append).multiply[loop] == 5.0
    assert measure_peaks(target, 1, [loop], say=said.append).multiply[loop] == 5.0
    assert len(said) == 1
    assert measure_peaks(target, 1, [loop], fresh=True, say=said.append).multiply[loop] == 5.0  # only ever too low
    assert measure_peaks(target, 1, [loop], fresh=True, say=said.append).multiply[loop] == 9.0
    path = peaks_path(target, 1)
    assert path.is_file()
    assert path != peaks_path(target, 2)
    assert path != peaks_path(replace(target, name="another"), 1)
    assert path == peaks_path(replace(target, costs="another"), 1)
    monkeypatch.setattr(peaks, "cpu_model", lambda: "another CPU")
    assert path != peaks_path(target, 1)


def test_a_form_without_a_loop_is_left_out(fast_and_own: Path) -> None:
    known, unknown = Sequence("f32", src="f32"), Sequence("quantum")
    found = measure_peaks(find_target(), 1, [unknown, known])
    assert list(found.multiply) == [known]


def test_without_tvm_there_is_a_reason(fast_and_own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match="measuring peaks needs TVM"):
        measure_peaks(find_target(), 1, [Sequence("f32", src="f32")])


def test_the_level_that_holds_it() -> None:
    found = Peaks(2, memory={"L2": 1.0, "L3": 1.0, "DRAM": 1.0}, caches={"L1": 1 << 15, "L2": 1 << 20, "L3": 1 << 25})
    assert [found.level(n) for n in (10, 2 << 20, (2 << 20) + 1, 1 << 25, (1 << 25) + 1)] == ["L2", "L2", "L3", "L3", "DRAM"]


def test_cache_sizes_of_this_machine() -> None:
    sizes = probes.cache_sizes(find_target())
    assert 1 << 12 <= sizes["L1"] <= sizes["L2"] <= max(sizes.values()) < 1 << 34


def test_sizes_the_system_does_not_tell_are_the_targets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probes, "_CACHES", tmp_path)
    assert probes.cache_sizes(VNNI) == {"L1": VNNI.l1_bytes, "L2": VNNI.l2_bytes}
    for index, (level, kind, size) in enumerate((("1", "Data", "48K"), ("1", "Instruction", "32K"), ("3", "Unified", "8192K"))):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(f"{text}\n")
    assert probes.cache_sizes(VNNI) == {"L1": 48 << 10, "L2": VNNI.l2_bytes, "L3": 8 << 20}


def test_reading_adds_up_what_is_there() -> None:
    """The read loop does read all of it."""
    from lowbit.kernels.peak.read import BLOCK_BYTES, read_loop

    probe = probes.Probe("read_all", read_loop("read_all"), 1.0)
    function = probes._load([probe], find_target()).read_all
    data, count = np.arange(3 * BLOCK_BYTES // 4, dtype=np.int32), np.array([3], np.int32)
    out = np.zeros(BLOCK_BYTES // 4, np.int32)
    function(*(ctypes.c_void_p(a.ctypes.data) for a in (data, data, data, data, data, count, out)), 0, 2)
    np.testing.assert_array_equal(out, 2 * data.reshape(3, -1).sum(0))


TILES, EMULATED = TARGETS["x86-64-v4-amx-bf16"], TARGETS["x86-64-v3-amx-emulated"]


def test_loops_of_tiles() -> None:
    plain = Sequence("u8_amx"), Sequence("i16_amx", 0, 2, True, "i16"), Sequence("bf16x3_amx", 0, 2, False, "bf16")
    assert [s for s in plain_sequences(TILES) if s.form.endswith("_amx")] == list(plain)
    assert not [s for s in plain_sequences(VNNI) if s.form.endswith("_amx")]
    assert sequence_of(spec("u8_amx", k_group=64), TILES) == (plain[0], 1.0)
    planes = replace(BYTES, n=2)
    assert sequence_of(spec("i16_amx", k_group=64, src=planes, wide=True, parts=2), TILES) == (plain[1], 1.0)
    halves = replace(planes, dtype="bf16")
    assert sequence_of(spec("bf16x3_amx", k_group=32, src=halves, parts=2), TILES) == (plain[2], 1.0)
    one = Sequence("i16_amx", 0, 1, True, "i16")
    assert sequence_of(spec("i16_amx", k_group=64, src=planes, wide=True), TILES) == (one, 1.0)
    assert sequence_of(spec("u8_amx", k_group=64), VNNI) is None


@pytest.mark.parametrize(("planes", "parts"), [(1, 1), (2, 2), (2, 1), (1, 2)])
def test_a_loop_of_tiles_multiplies_what_it_says(planes: int, parts: int) -> None:
    """The instructions of a step times their products, by the code for the real target."""
    from lowbit.backend.codegen import compile_function
    from lowbit.kernels.peak.tiles import tile_loop
    from lowbit.reporting.machine_code import disassemble

    function, work = tile_loop("loop", TILES, planes, parts)
    code = disassemble(compile_function(function, "loop", TILES).object)["loop"]
    loop = [i.mnemonic for i in code.hot_loop()]
    products = sum(name.startswith("tdpb") for name in loop)
    share = {(1, 1): 1, (2, 2): 4, (2, 1): 2, (1, 2): 2}[planes, parts]  # of them for one of the numbers
    steps = products // (4 if planes == parts else 2)
    assert work * steps / 8 == products * 16384 / share
    names = [i.mnemonic for i in code.instructions]
    assert (names.count("ldtilecfg"), names.count("tilerelease")) == (1, 1)


def test_a_loop_of_halves_multiplies_three_times() -> None:
    from lowbit.backend.codegen import compile_function
    from lowbit.kernels.peak.tiles import halves_loop
    from lowbit.reporting.machine_code import disassemble

    function, work = halves_loop("loop", TILES, 2, 2)
    loop = [i.mnemonic for i in disassemble(compile_function(function, "loop", TILES).object)["loop"].hot_loop()]
    products, loads = (loop.count(name) for name in ("tdpbf16ps", "tileloadd"))
    assert (products % 12, 12 * loads) == (0, 8 * products)
    assert work * (products // 12) / 8 == products * 8192 / 3


@pytest.mark.skipif(bool(obstacle(EMULATED)), reason="this CPU does not even emulate tiles")
def test_loops_of_tiles_run_and_their_writing_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    sequences = [s for s in plain_sequences(EMULATED) if s.form.endswith("_amx")]
    found = measure_peaks(EMULATED, 1, sequences, [Finish("u8_amx", "u8")])
    assert {s.form for s in found.multiply} == {"u8_amx", "i16_amx", "bf16x3_amx"}
    assert found.multiply[sequences[0]] > found.multiply[sequences[1]] > 0  # emulated, but four products for one
    assert not found.write
