"""Which network a graph is."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from lowbit.graph.ir import Graph
from lowbit.graph.rebatch import mixes_rows
from lowbit.graph.serialize import to_dict

__all__ = ["fingerprint"]


def fingerprint(graph: Graph) -> str:
    """BLAKE2b-128 of what a graph computes: operations, attributes, shapes, quantization and every constant's bytes.

    The graph's name, the lines of the user's file and, where no rows meet, the batch size are not part of it."""
    structure, arrays = to_dict(graph)
    del structure["name"]
    batch = 0 if mixes_rows(graph) else graph.types[graph.inputs[0]].shape[0]
    for name, entry in structure["types"].items():
        if batch and name not in graph.constants:
            entry["shape"] = entry["shape"][1:]
    for node in structure["nodes"]:
        del node["source"]
        if batch and "shape" in node["attrs"]:
            node["attrs"]["shape"] = node["attrs"]["shape"][1:]
    digest = hashlib.blake2b(json.dumps(structure, sort_keys=True).encode(), digest_size=16)
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
