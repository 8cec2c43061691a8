from __future__ import annotations

import hashlib
import json

from lowbit.backend.build import weights_file
from lowbit.backend.manifest import make_manifest
from lowbit.version import __version__
from tests.backend.toy import TARGET, linear_network, objects


def test_describes_the_network() -> None:
    program, _ = linear_network(bits="i3")
    kernels = objects(program)
    manifest = make_manifest(program, TARGET, kernels)
    json.dumps(manifest)
    assert (manifest["lowbit"], manifest["name"], manifest["prefix"]) == (__version__, "toy", "toy")
    assert manifest["target"]["name"] == TARGET.name
    assert manifest["created_with"]["cc"]
    assert manifest["inputs"] == [{"name": "x", "shape": [1, 30], "dtype": "float32"}]
    assert manifest["outputs"] == [{"name": "y", "shape": [1, 40], "dtype": "float32"}]
    assert [layer["name"] for layer in manifest["layers"]] == [call.layer for call in program.calls]
    assert manifest["macs"] == 3 * 40 * 30
    assert manifest["weight_bytes"] == 450


def test_layers_say_where_their_weights_lie() -> None:
    program, _ = linear_network(bits="i3")
    kernels = objects(program)
    first, layer = make_manifest(program, TARGET, kernels)["layers"][:2]
    assert first["weights"] is None
    weights = layer["weights"]
    assert (weights["qtype"], weights["container"], weights["values"], weights["bytes"]) == ("i3", 3, 1200, 450)
    assert weights["offset"] + weights["bytes"] <= len(weights_file(program))
    spec = program.calls[1].spec
    assert layer["kernel"] == spec.symbol(TARGET.name)
    assert layer["object_sha256"] == hashlib.sha256(kernels[spec]).hexdigest()
