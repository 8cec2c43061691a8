"""benchmarks/replay.py: what makes its digests change, and what does not."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import exact_networks, replay, replay_cells

from lowbit.errors import ConfigError
from lowbit.kernels.spec import KernelSpec
from lowbit.targets import TARGETS

SMALL = replay.Selection(("lenet5",), ("fp32", "4/int4"), ("x86-64-v3",))
KEY = "lenet5 4/int4 x86-64-v3 model"


@pytest.fixture(scope="module")
def cells() -> dict[str, Any]:
    return replay.record(SMALL)


def kinds(old: dict[str, Any], new: dict[str, Any], common: bool = False) -> dict[str, int]:
    """Kind of row -> how many differ."""
    return {kind: len(found) for kind, found in replay.compare(old, new, common).differences.items()}


def test_cells_are_those_asked_for(cells: dict[str, Any]) -> None:
    assert list(cells) == sorted(f"lenet5 {config} x86-64-v3 {who}" for config in SMALL.configs for who in ("model", "shipped"))
    layers = [layer for layer, _ in cells[KEY]["layers"]]
    assert layers == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert set(layers) < {call[0] for call in cells[KEY]["calls"]}
    arm = replay.record(replay.Selection(("mlp_jsc_bn",), ("8/int8",), ("raspberry-pi-4",)))
    assert list(arm) == ["mlp_jsc_bn 8/int8 raspberry-pi-4 model"], "no decisions come with lowbit for it"


def test_names_within_specs_do_not_matter(cells: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another digest of every spec, as after a renamed field: other symbols, other identities."""
    digest = KernelSpec.digest
    monkeypatch.setattr(KernelSpec, "digest", lambda spec: digest(spec)[::-1])
    assert kinds(cells, replay.record(SMALL)) == {}


def test_a_changed_kernel_is_told(cells: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    text = replay_cells.tensorir
    changed = {True: "int64", False: "int32"}
    monkeypatch.setattr(
        replay_cells, "tensorir", lambda spec, target: text(spec, target).replace("int32", changed[spec.kind == "pool"])
    )
    assert kinds(cells, replay.record(SMALL)) == {"tensorir": 2 * len(cells)}, "the two pools of each cell"


def test_other_weights_are_told(cells: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    bells = exact_networks._bells
    monkeypatch.setattr(exact_networks, "_bells", lambda generator, shape: -bells(generator, shape))
    found = kinds(cells, replay.record(SMALL))
    assert (found["weights"], found["layers"]) == (len(cells), 5 * len(cells))


def test_what_the_user_tuned_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    used = []
    monkeypatch.setattr(replay_cells, "make_lookup", lambda *_: used.append(os.environ["LOWBIT_CACHE"]))
    replay.record(SMALL)
    assert len(used) == 2
    assert str(tmp_path) not in used
    assert os.environ["LOWBIT_CACHE"] == str(tmp_path)


@pytest.mark.parametrize("row", ["weights", "program", "tables"])
def test_compare_says_which_cell(cells: dict[str, Any], row: str) -> None:
    new = copy.deepcopy(cells)
    new[KEY][row] = "0"
    assert replay.compare(cells, new).differences == {row: [KEY]}


@pytest.mark.parametrize(("column", "kind"), [(1, "kernel"), (2, "tensorir"), (3, "arguments")])
def test_compare_says_which_call(cells: dict[str, Any], column: int, kind: str) -> None:
    new = copy.deepcopy(cells)
    new[KEY]["calls"][2][column] = "0"
    ((told, (where,)),) = replay.compare(cells, new).differences.items()
    assert told == kind
    assert where.startswith(f"{KEY}: call 2, {cells[KEY]['calls'][2][0]}: ")
    new[KEY]["calls"].pop()
    assert kinds(cells, new) == {"calls": 1}
    new = copy.deepcopy(cells)
    new[KEY]["layers"][1][1] = "0"
    assert replay.compare(cells, new).differences == {"layers": [f"{KEY}: weights of conv2"]}
    new[KEY]["layers"].pop()
    assert kinds(cells, new) == {"layers": 1}


def test_missing_cells_are_differences_unless_only_common_ones_count(cells: dict[str, Any]) -> None:
    fewer = {KEY: cells[KEY]}
    assert kinds(cells, fewer) == kinds(fewer, cells) == {"cells": len(cells) - 1}
    assert kinds(cells, fewer, common=True) == {}


def test_files_and_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, other = (tmp_path / name for name in ("old.json.gz", "new.json", "other.json"))
    wanted = ["--networks", "mlp_jsc_bn", "--configs", "8/int8", "--targets", "x86-64-v3"]
    for path in (old, new):
        assert replay.main(["--out", str(path), *wanted]) == 0
    assert replay.read(old) == replay.read(new)
    assert replay.main(["--compare", str(old), str(new)]) == 0
    content = json.loads(new.read_text())
    content["cells"]["mlp_jsc_bn 8/int8 x86-64-v3 model"]["weights"] = "0"
    content["versions"]["numpy"] = "0.1"
    new.write_text(json.dumps(content))
    capsys.readouterr()
    assert replay.main(["--compare", str(old), str(new)]) == 1
    out = capsys.readouterr().out
    assert "weights: 1 of 2 differ\n    mlp_jsc_bn 8/int8 x86-64-v3 model\n" in out
    assert f"note: numpy was {np.__version__} and is 0.1" in out
    content["cells"] = {"a": content["cells"]["mlp_jsc_bn 8/int8 x86-64-v3 model"]}
    other.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="no cell in common"):
        replay.main(["--compare", str(old), str(other), "--common"])
    for damaged in (b"", b"{}", b"\x1f\x8b", b'{"cells": 3}'):
        other.write_bytes(damaged)
        with pytest.raises(ConfigError, match="other.json is not the output of --out"):
            replay.read(other)
    with pytest.raises(ConfigError, match="no target z80"):
        replay.main(["--out", str(old), "--targets", "z80"])


def test_show_prints_the_kernel_that_is_hashed(cells: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["--show", KEY, "2"]) == 0
    first, _, text = capsys.readouterr().out.partition("\n")
    layer, kernel, digest, _ = cells[KEY]["calls"][2]
    assert first == f"# {KEY}: call 2, {layer}: {kernel}"
    assert replay_cells.digest(text.removesuffix("\n")) == digest
    with pytest.raises(ConfigError, match="has calls 0 .."):
        replay.main(["--show", KEY, "99"])
    with pytest.raises(ConfigError, match="write network, configuration, target and model or shipped"):
        replay.main(["--show", "lenet5", "0"])


def test_several_processes_find_the_same(cells: dict[str, Any]) -> None:
    assert replay.record(SMALL, jobs=2) == cells


def test_the_digest_table_has_a_line_for_all_rows_of_a_place(cells: dict[str, Any]) -> None:
    table = replay.digest_table(cells).splitlines()
    assert [line.rsplit(" ", 1)[0] for line in table] == ["lenet5 4/int4 x86-64-v3", "lenet5 fp32 x86-64-v3"]
    for who in replay_cells.DECIDERS:
        new = copy.deepcopy(cells)
        new[f"lenet5 fp32 x86-64-v3 {who}"]["calls"][0][3] = "0"
        assert [a == b for a, b in zip(table, replay.digest_table(new).splitlines(), strict=True)] == [True, False]


def test_exact_networks_are_made_of_exact_numbers() -> None:
    """Multiples of 1/64 and powers of two: sums of a layer's weights do not depend on their order."""
    graph = exact_networks.exact_graph("lenet5")
    for weights in graph.constants.values():
        assert np.array_equal(weights * 2**16, np.rint(weights * 2**16))
    seen = exact_networks.exact_calibration(graph).histograms
    assert seen[graph.inputs[0]].minimum < 0
    assert all(histogram.minimum >= 0 for name, histogram in seen.items() if name not in graph.inputs)
    assert set(replay.NETWORKS) > set(replay.QUICK.networks), "so that a quick file can be set beside a full one"
    assert set(replay.QUICK.targets) < set(TARGETS)
