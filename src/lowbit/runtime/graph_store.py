"""The integer graph inside an artifact, without storing the weights twice.

``graph.json``: {"graph": structure, "arrays": {name: entry}}.  An entry holds dtype and shape, and either
``at``, a byte offset in ``constants.bin``, or ``weights``, the layer's bit fields in ``weights.bin``:
offset, values, container, qtype (or "f32", "f16") and ``taps``.  Weights lie on disk as [O][taps][I], in the
graph as [O][I][taps] (OIHW; for a linear layer behind a flattened image, taps = H*W).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lowbit.backend.fields import FLOAT_TYPES, unpack_fields
from lowbit.errors import ArtifactError, LowbitError
from lowbit.graph import Graph
from lowbit.graph.serialize import from_dict, to_dict
from lowbit.numerics import QType
from lowbit.numerics.packing import packed_size
from lowbit.runtime.schema import GRAPH

__all__ = ["decode_graph", "encode_graph"]


def _divisors(n: int) -> Iterator[int]:
    return (d for d in range(1, n + 1) if n % d == 0)


def _taps(array: np.ndarray, disk: np.ndarray) -> int | None:
    """The ``taps`` by which ``disk`` (any shape) is ``array`` with its input axes swapped; None: by none."""
    if array.size != disk.size or array.ndim < 2 or array.size == 0:
        return None
    rows = array.reshape(array.shape[0], -1)
    flat = disk.reshape(rows.shape)
    for taps in _divisors(rows.shape[1]):

        def swapped(part: np.ndarray, taps: int = taps) -> np.ndarray:
            return part.reshape(len(part), taps, -1).transpose(0, 2, 1).reshape(len(part), -1)

        # one row tells nearly all wrong candidates apart
        if np.array_equal(swapped(flat[:1]), rows[:1]) and np.array_equal(swapped(flat), rows):
            return taps
    return None


def encode_graph(graph: Graph, weights: Iterable[tuple[np.ndarray, Mapping[str, Any]]] = ()) -> dict[str, bytes]:
    """Sections "graph.json" and "constants.bin".

    ``weights``: values in disk order and their manifest entry (qtype, container, values, offset).
    """
    structure, arrays = to_dict(graph)
    candidates = list(weights)
    entries: dict[str, Any] = {}
    blob = bytearray()
    for name, array in arrays.items():
        entry: dict[str, Any] = {"dtype": array.dtype.str, "shape": list(array.shape)}
        for values, place in candidates:
            if array.dtype.kind in "iuf" and (array.dtype.kind == "f") == (place["qtype"] in FLOAT_TYPES):
                taps = _taps(array, values)
                if taps is not None:
                    entry["weights"] = {key: place[key] for key in ("offset", "values", "container", "qtype")} | {"taps": taps}
                    break
        else:
            entry["at"] = len(blob)
            blob += np.ascontiguousarray(array).tobytes()
            blob += bytes(-len(blob) % 8)
        entries[name] = entry
    return {"graph.json": json.dumps({"graph": structure, "arrays": entries}).encode(), "constants.bin": bytes(blob)}


def _part(data: np.ndarray, at: int, nbytes: int, where: str) -> np.ndarray:
    if at + nbytes > data.size:
        raise ArtifactError(f"{where}: bytes {at} to {at + nbytes} of a section of {data.size}")
    return data[at : at + nbytes]


def _array(name: str, entry: Mapping[str, Any], constants: np.ndarray, weights: np.ndarray) -> np.ndarray:
    where = f"graph.json: array {name!r}"
    dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
    count = math.prod(shape)
    if ("at" in entry) == ("weights" in entry):
        raise ArtifactError(f"{where} lies in constants.bin or in weights.bin, one of them")
    place = entry.get("weights")
    if place is None:
        return _part(constants, entry["at"], count * dtype.itemsize, where).copy().view(dtype).reshape(shape)
    if place["values"] != count or count == 0 or count % (shape[0] * place["taps"]):
        raise ArtifactError(f"{where} of shape {shape} is not {place['values']} weights of {place['taps']} taps")
    floats = place["qtype"] in FLOAT_TYPES
    bits = 8 * np.dtype(FLOAT_TYPES[place["qtype"]]).itemsize if floats else QType.parse(place["qtype"]).bits
    if bits > place["container"] or (floats and bits != place["container"]) or (not floats and place["container"] == 32):
        raise ArtifactError(f"{where}: {place['qtype']} in {place['container']} bits")
    packed = _part(weights, place["offset"], packed_size(count, place["container"]), where)
    if floats:
        flat = packed.copy().view(FLOAT_TYPES[place["qtype"]])
    else:
        flat = unpack_fields(packed, place["values"], QType.parse(place["qtype"]), place["container"])
    return flat.reshape(shape[0], place["taps"], -1).transpose(0, 2, 1).reshape(shape).astype(dtype)


def decode_graph(sections: Mapping[str, bytes | memoryview]) -> Graph:
    """The graph of an artifact's sections, equal to the one that was encoded.

    Raises ArtifactError for sections that hold none."""
    try:
        data = json.loads(bytes(sections["graph.json"]))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"graph.json is no JSON: {error}") from None
    GRAPH(data, "graph.json")
    constants = np.frombuffer(sections["constants.bin"], np.uint8)
    weights = np.frombuffer(sections["weights.bin"], np.uint8)
    arrays = {name: _array(name, entry, constants, weights) for name, entry in data["arrays"].items()}
    try:
        return from_dict(data["graph"], arrays)
    except Exception as error:  # classes of the graph meet what no compiler of ours wrote
        raise ArtifactError(f"graph.json holds no graph: {error if isinstance(error, LowbitError) else repr(error)}") from None
