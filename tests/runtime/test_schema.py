"""Altered sections, signed again: each refused by the rule that is meant for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.errors import ArtifactError, ConfigError
from lowbit.runtime.artifact import read_artifact, write_artifact
from lowbit.runtime.schema import MANIFEST
from lowbit.targets import TARGETS
from tests.errors.processes import finish, start


def resigned(path: Path, folder: Path, **changed: bytes | Callable[[Any], object]) -> Path:
    """The artifact with other sections: bytes, or an edit of a section's JSON."""
    artifact = read_artifact(path)
    manifest, sections = artifact.manifest, {name: artifact[name] for name in artifact if name != "manifest.json"}
    for name, change in changed.items():
        if name == "manifest":
            change(manifest)  # type: ignore[operator]
        elif callable(change):
            value = json.loads(sections[f"{name}.json"])
            change(value)
            sections[f"{name}.json"] = json.dumps(value).encode()
        else:
            sections[f"{name}.bin"] = change
    return write_artifact(folder / "resigned.lowbit", manifest, sections)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.pop("target"), r"names missing: \['target'\]"),
        (lambda m: m.update(more=1), 'unknown: .*more'),
        (lambda m: m["target"].update(triple=5), r"manifest\.json\.target\.triple is 5, must be a word of"),
        (lambda m: m["target"].update(triple="../../bin/x-linux"), "must be a word of letters, digits"),
        (lambda m: m["target"].update(qemu_cpu="-kernel=/x"), "must be the name of a CPU"),
        (lambda m: m["target"].update(without=["x"]), r"without\[0\] is 'x', must be one of 'winograd'"),
        (lambda m: m["target"].update(registers=0), "registers is 0, must be a whole number from 1"),
        (lambda m: m["target"].update(features=[1]), r"target\.features\[0\] is 1"),
        (lambda m: m.update(prefix="../x"), "prefix is '../x', must be a C identifier"),
        (lambda m: m.update(name="\udce9"), "must be Unicode text"),
        (lambda m: m["inputs"][0].update(shape=[1, -3, 8, 8]), r"inputs\[0\]\.shape\[1\] is -3, must be a whole number from 1"),
        (lambda m: m["inputs"][0].update(shape=[1, True, 8, 8]), r"shape\[1\] is True"),
        (lambda m: m["inputs"][0].update(shape=[1, 3, 8, 9]), "does not belong to the library: other inputs"),
        (lambda m: m.update(outputs=[]), "does not belong to the library: other outputs"),
        (lambda m: m["layers"].pop(), "does not belong to the library: other layers"),
        (lambda m: m.update(layers={}), "layers is {}, must be a list"),
        (lambda m: m.update(macs=1e3), r"macs is 1000\.0, must be a whole number"),
        (lambda m: m["layers"][1].update(weights={}), "weights: names missing"),
        (lambda m: m["layers"][1]["weights"].update(values=0), "values is 0"),
    ],
)  # fmt: skip
def test_manifests(artifacts: Mapping[str, Path], tmp_path: Path, edit: Callable[[Any], object], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        lowbit.load(resigned(artifacts["4/int4"], tmp_path, manifest=edit))


def test_every_target_can_be_written(artifacts: Mapping[str, Path]) -> None:
    manifest = read_artifact(artifacts["fp32"]).manifest
    for target in TARGETS.values():
        MANIFEST({**manifest, "target": target.to_json()}, "manifest.json")


def test_specs_are_those_of_the_kernels(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    """They are looked at by who uses them: the network runs without."""
    x = np.ones((1, 3, 8, 8), np.float32)
    for edit in (lambda s: s.update(mr=3), lambda s: s.pop("kind"), lambda s: s.update(src=5), lambda s: s.update(more=0)):
        network = lowbit.load(resigned(artifacts["4/int4"], tmp_path, manifest=lambda m, edit=edit: edit(m["layers"][1]["spec"])))
        assert network(x).shape == (1, 10)
        for use in (lambda n=network: n.specs, lambda n=network: n.profile(x, runs=1, peaks=False)):
            with pytest.raises(ArtifactError, match="stem: kernel conv2d.* is not in the library, or not of this spec"):
                use()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda g: g["graph"].pop("types"), r"names missing: \['types'\]"),
        (lambda g: g["arrays"]["stem.bias"].update(shape=[7, 7]), "bytes .* of a section of|holds no valid"),
        (lambda g: g["arrays"]["stem.bias"].update(at=10**6), r"array 'stem\.bias': bytes 1000000 to"),
        (lambda g: g["arrays"]["stem.bias"].update(dtype="|O"), "dtype is '|O', must be one of"),
        (lambda g: g["arrays"]["stem.bias"].pop("at"), "in constants.bin or in weights.bin, one of them"),
        (lambda g: g["arrays"]["stem.weight"]["weights"].update(taps=5), r"is not \d+ weights of 5 taps"),
        (lambda g: g["arrays"]["stem.weight"]["weights"].update(qtype="i16"), "i16 in 8 bits"),
        (lambda g: g["arrays"].pop("stem.bias"), "graph.json holds no graph: KeyError"),
        (lambda g: g["graph"]["nodes"].reverse(), "holds no valid graph: .*reads"),
        (lambda g: g["graph"]["nodes"][1]["attrs"].update(stride=None), "holds no valid graph"),
        (lambda g: g["graph"].update(inputs=[]), "holds no valid graph"),
        (lambda g: g["graph"]["types"]["x"].update(shape=[1, 3, 8, 10**30]), r"types\.x\.shape\[3\] is 1000"),
    ],
)  # fmt: skip
def test_graphs(artifacts: Mapping[str, Path], tmp_path: Path, edit: Callable[[Any], object], message: str) -> None:
    network = lowbit.load(resigned(artifacts["4/int4"], tmp_path, graph=edit))
    with pytest.raises(ArtifactError, match=message):
        network.graph()


def test_graph_of_no_json(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    path = artifacts["4/int4"]
    artifact = read_artifact(path)
    sections = {name: artifact[name] for name in artifact if name != "manifest.json"}
    for text in (b"no", b"[" * 200_000, b"\xff"):
        write_artifact(tmp_path / "net", artifact.manifest, {**sections, "graph.json": text, "graph.txt": text})
        with pytest.raises(ArtifactError, match=r"graph\.json is no JSON"):
            lowbit.load(tmp_path / "net").graph()
    with pytest.raises(ArtifactError, match=r"section graph\.txt is not text"):
        lowbit.load(tmp_path / "net").text("graph.txt")
    write_artifact(tmp_path / "net", artifact.manifest, {k: v for k, v in sections.items() if k != "constants.bin"})
    with pytest.raises(ArtifactError, match=r"no section 'constants\.bin'"):
        lowbit.load(tmp_path / "net").graph()


_RUN = """
import sys, numpy as np, lowbit
net = lowbit.load(sys.argv[1], threads=1)
print(net(*[np.ones(s, np.float32) for s in net.input_shapes]).shape)
"""


@pytest.mark.parametrize("config", ["fp32", "8/int8", "4/int4"])
def test_weights_of_any_numbers_run(artifacts: Mapping[str, Path], tmp_path: Path, config: str) -> None:
    """All bytes behind the header of the weight file, constants and scales too.  It once held tables of addresses."""
    from tests.fuzz.mutations import signed_weights

    weights = read_artifact(artifacts[config])["weights.bin"]
    rng = np.random.default_rng(0)
    for tail in (bytes(len(weights) - 64), b"\xff" * (len(weights) - 64), rng.bytes(len(weights) - 64)):
        path = resigned(artifacts[config], tmp_path, weights=signed_weights(weights[:64] + tail))
        status, out, err = finish(start("-c", _RUN, path))
        assert (status, out) == (0, "(1, 10)\n"), err


def test_digests(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    network = lowbit.load(artifacts["4/int4"])
    assert lowbit.load(artifacts["4/int4"], expect=network.digest.upper()).digest == network.digest
    saved = network.save(tmp_path / "again.lowbit")
    assert lowbit.load(saved, expect=network.digest).digest == network.digest
    with pytest.raises(ArtifactError, match="is not the file that was expected"):
        lowbit.load(artifacts["8/int8"], expect=network.digest)
    for wrong in ("", "12", "g" * 64, network.digest[:-1], 5):
        with pytest.raises(ConfigError, match="expect is a BLAKE2b-256 of 64 hexadecimal digits"):
            lowbit.load(saved, expect=wrong)  # type: ignore[arg-type]


def test_a_network_that_was_just_compiled_knows_its_digest(tmp_path: Path) -> None:
    from tests import tiny

    network = lowbit.compile(*tiny.network(), threads=1)
    digest = network.digest
    assert lowbit.load(network.save(tmp_path / "net.lowbit"), expect=digest).digest == digest


def test_what_is_expected_is_compared_before_code_is_loaded(
    artifacts: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowbit.backend.cpu.NativeNetwork", lambda *_: os.abort())
    with pytest.raises(ArtifactError, match="expected"):
        lowbit.load(artifacts["4/int4"], expect="0" * 64)
