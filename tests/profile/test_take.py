"""Profiles of compiled networks: figures that follow from each other, and from what the manifest says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.errors import ArtifactError, ConfigError, InputError
from lowbit.kernels.data_movement.spec import CopySpec, GatherSpec, InputSpec, OutputSpec, RunsSpec
from lowbit.kernels.elementwise.spec import BinarySpec, LutSpec
from lowbit.kernels.layout import Layout
from lowbit.kernels.pool.spec import PoolSpec
from lowbit.profile import peaks
from lowbit.profile import take as profile_module
from lowbit.profile.peaks import Peaks
from lowbit.profile.result import Profile
from lowbit.profile.sequences import Finish, Sequence
from lowbit.profile.traffic import Traffic, traffic_of, units_of
from tests.runtime.toy import toy_compiled

X = np.random.default_rng(0).standard_normal((1, 3, 8, 8), np.float32)


@pytest.fixture
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every loop multiplies 100 products and writes 10 results a ns; memory gives 50 bytes."""

    def measure(target: object, threads: int, loops: list[Sequence], finishes: list[Finish], *_: object) -> Peaks:
        return Peaks(
            threads,
            dict.fromkeys(loops, 100.0),
            dict.fromkeys(finishes, 10.0),
            {"L2": 50.0, "DRAM": 5.0},
            {"L1": 1 << 15, "L2": 1 << 20},
        )

    monkeypatch.setattr(profile_module, "measure_peaks", measure)


@pytest.fixture
def taken(artifacts: Mapping[str, Path], known_machine: None) -> Profile:
    return lowbit.load(artifacts["4/int8"], threads=1).profile(X, runs=3)


def test_rows_are_the_operations_in_order(taken: Profile, artifacts: Mapping[str, Path]) -> None:
    entries = lowbit.load(artifacts["4/int8"]).manifest["layers"]
    assert [(o.layer, o.kernel, o.macs) for o in taken] == [(e["name"], e["kernel"], e["macs"]) for e in entries]
    assert len(taken) == len(entries)
    assert taken[-1].kind == "output"
    assert (taken.name, taken.threads, taken.runs, taken.no_peaks) == ("tiny", 1, 3, "")
    assert taken.sum_ns == sum(o.ns for o in taken) > 0
    assert 0 <= taken.between_ns < taken.fastest_ns <= taken.total_ns
    assert taken.macs == sum(e["macs"] for e in entries)
    body = next(o for o in taken if o.layer == "body" and o.macs)
    assert (body.types, body.container) == ("u4 x i4", 8)
    assert {o.kind for o in taken if not o.macs} >= {"input", "output", "pool"}


def test_figures_of_a_layer_follow_from_the_peaks(taken: Profile) -> None:
    body = next(o for o in taken if o.layer == "body" and o.macs)
    assert body.kind == "conv2d"
    assert body.peak == 100.0
    assert body.multiply_ns == body.macs / 100
    assert body.share_of_peak == pytest.approx(body.gmacs / 100)
    assert body.outside == pytest.approx(max(0, 1 - body.gmacs / 100))
    assert body.write_ns == 8 * 8 * 16 / 10
    assert body.write_share == pytest.approx(min(body.write_ns / body.ns, body.outside))
    assert body.bytes == body.input_bytes + body.weight_bytes + body.output_bytes + body.scratch_bytes  # type: ignore[operator]
    assert body.memory_ns == pytest.approx(body.bytes / 50)
    assert body.weight_bytes >= 16 * 16 * 9
    assert taken.expected_speedup == pytest.approx(1.0)


def test_without_peaks_there_are_times_and_bytes(artifacts: Mapping[str, Path]) -> None:
    taken = lowbit.load(artifacts["4/int4"], threads=1).profile(X, runs=1, peaks=False)
    assert taken.no_peaks == "not asked for"
    for o in taken:
        assert (o.peak, o.share_of_peak, o.outside, o.write_share, o.memory_ns) == (None,) * 5
        assert o.bytes
        assert o.bound in ("small", "instructions", "unknown")
    assert taken.expected_speedup is None


def test_without_tvm_the_profile_says_what_is_missing(
    artifacts: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    monkeypatch.setattr(peaks, "find_spec", lambda name: None)
    taken = lowbit.load(artifacts["4/int4"], threads=1).profile(X, runs=1)
    assert taken.no_peaks.startswith("measuring peaks needs TVM")
    assert all(o.ns > 0 for o in taken)
    assert taken.forms == taken.memory == {}


def test_work_that_cannot_be_shared_out_has_the_peak_of_one_thread(artifacts: Mapping[str, Path], known_machine: None) -> None:
    taken = lowbit.load(artifacts["8/int8"], threads=2).profile(X, runs=1)
    head = next(o for o in taken if o.layer == "head" and o.macs)
    assert (head.workers, head.peak) == (1, 50.0)
    assert taken.float_ns(head) == pytest.approx(head.multiply_ns)  # float could not be shared out either


def test_json_is_plain(taken: Profile) -> None:
    data = json.loads(json.dumps(taken.to_json()))
    assert [o["layer"] for o in data["operations"]] == [o.layer for o in taken]
    assert data["operations"][1]["bound"] == taken[1].bound
    assert data["memory"] == {"L2": 50.0, "DRAM": 5.0}


def test_the_heaviest_are_the_fewest(taken: Profile) -> None:
    chosen = taken.heaviest(0.8)
    total = sum(o.ns for o in chosen)
    assert total >= 0.8 * taken.sum_ns > total - chosen[-1].ns
    assert chosen == sorted(chosen, key=lambda o: -o.ns)
    assert len(taken.heaviest(1.0)) == len(taken)


def test_what_is_refused(artifacts: Mapping[str, Path]) -> None:
    network = lowbit.load(artifacts["8/int8"], threads=1)
    with pytest.raises(ConfigError, match="runs must be at least 1, got 0"):
        network.profile(X, runs=0)
    with pytest.raises(InputError, match=r"expected shape \(1, 3, 8, 8\), got \(1, 3, 9, 9\)"):
        network.profile(np.zeros((1, 3, 9, 9), np.float32))
    with pytest.raises(InputError, match="takes 1 inputs, 2 given"):
        network.profile(X, X)


def test_a_network_for_another_machine_has_no_times() -> None:
    network, _ = toy_compiled()
    network.manifest["target"] = {**network.manifest["target"], "triple": "vax-unknown-linux", "name": "vax"}
    other = lowbit.runtime.compiled.Compiled(network.manifest, network._sections)
    with pytest.raises(ArtifactError, match="compiled for vax"):
        other.profile(X)


def test_kernels_of_an_unknown_kind_have_a_time_and_nothing_else(known_machine: None) -> None:
    network, _ = toy_compiled()
    taken = network.profile(np.zeros((1, 30), np.float32), runs=1)
    layer = taken[1]
    assert (layer.kind, layer.form, layer.bytes, layer.peak, layer.macs) == ("toy", "", None, None, 1200)
    assert layer.bound in ("small", "unknown")


BYTES, FLOATS = Layout(1, 4, 6, 20, 32, "u8", 1, 1, 1, 1), Layout(1, 4, 6, 20, 32, "f32")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (PoolSpec(fn="max", src=BYTES, dst=BYTES), Traffic(6 * 8 * 32, 0, 6 * 8 * 32, 0)),
        (BinarySpec(fn="add", src=BYTES, other=FLOATS, dst=BYTES), Traffic(6 * 8 * 32 + 4 * 4 * 6 * 32, 0, 6 * 8 * 32, 0)),
        (InputSpec(dst=BYTES, strides=(1, 1, 1, 1)), Traffic(4 * 4 * 6 * 20, 0, 6 * 8 * 32, 0)),
        (OutputSpec(src=FLOATS, strides=(1, 1, 1, 1)), Traffic(4 * 4 * 6 * 32, 0, 4 * 4 * 6 * 20, 0)),
        (
            CopySpec(dtype="i16", dims=((3, 1, 1), (5, 1, 1)), src_offset=0, dst_offset=0, src_elements=15, dst_elements=15),
            Traffic(30, 0, 30, 0),
        ),
        (LutSpec(src=BYTES, dst=FLOATS), Traffic(6 * 8 * 32, 0, 4 * 4 * 6 * 32, 1024)),
        (RunsSpec(src="u8", dst="u8", depth=2), None),
        (GatherSpec(dtype="u8"), None),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_bytes_of_a_call(spec: object, expected: Traffic | None) -> None:
    data = json.loads(json.dumps(spec.to_json()))  # type: ignore[attr-defined]
    assert traffic_of({"spec": data, "weights": None}) == expected


def test_units() -> None:
    assert units_of(PoolSpec(fn="max", src=BYTES, dst=BYTES).to_json()) == 4
    assert units_of(GatherSpec(dtype="u8").to_json()) is None
    assert units_of(RunsSpec(src="u8", dst="u8", depth=2).to_json()) is None
    assert units_of({"kind": "new"}) is None
