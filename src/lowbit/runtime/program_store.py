"""The program inside an artifact: what export, emulation and reports work on, as it was compiled.

``program.json``: {"calls", "buffers", "weights", "constant_bytes", "table_bytes"}.  What the manifest says already (name,
tensors, sizes, and of every call its layer, spec and macs) is not said again, and neither are numbers: weights, scales of
groups and constants lie in ``weights.bin``, in the order of backend/weight_file.py.  ``addresses.bin`` holds
``Program.tables`` and the tables of layers (backend/address_tables.py), which ``at`` and ``shape`` point into.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from math import prod
from typing import Any

import numpy as np

from lowbit.backend.address_tables import LAYER_TABLES, address_tables
from lowbit.backend.driver import identity, info_text, prefix_of
from lowbit.backend.fields import FLOAT_TYPES, unpack_fields
from lowbit.backend.weight_file import plan_weight_file
from lowbit.errors import ArtifactError, LowbitError
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering.program import Buffer, Call, Fill, Packing, Program, Ref, Weights
from lowbit.numerics import QType
from lowbit.numerics.packing import packed_size
from lowbit.runtime.program_schema import PROGRAM
from lowbit.targets import Target

__all__ = ["decode_program", "encode_program"]

_ARRAYS = (*LAYER_TABLES, "group_scale")  # of a Packing


def encode_program(program: Program) -> dict[str, bytes]:
    """Sections "program.json" and "addresses.bin"."""
    tables = address_tables(program)
    data = {
        "calls": [
            {"args": [asdict(ref) for ref in call.args], "fills": [asdict(fill) for fill in call.fills], "extent": call.extent}
            for call in program.calls
        ],
        "buffers": [asdict(buffer) for buffer in program.buffers],
        "weights": [_weights(w, at) for w, at in zip(program.weights, tables.layers, strict=True)],
        "constant_bytes": len(program.constants),
        "table_bytes": len(program.tables),
    }
    return {"program.json": json.dumps(data, separators=(",", ":")).encode(), "addresses.bin": tables.data}


def _weights(weights: Weights, at: Mapping[str, int]) -> dict[str, Any]:
    p = weights.packing
    packing: dict[str, Any] = {f.name: getattr(p, f.name) for f in fields(p) if f.name not in _ARRAYS}
    for name in LAYER_TABLES:
        table = getattr(p, name)
        packing[name] = None if table is None else {"at": at[name], "shape": list(table.shape)}
    if packing["shuffle"] is None:  # as it was before there were any
        del packing["shuffle"]
    packing["group_scale"] = None if p.group_scale is None else list(p.group_scale.shape)
    return {
        "layer": weights.layer,
        "qtype": weights.qtype,
        "container": weights.container,
        "shape": list(weights.values.shape),
        "offset": weights.offset,
        "packing": packing,
    }


def decode_program(
    section: Callable[[str], bytes], manifest: Mapping[str, Any], specs: Sequence[KernelSpec], target: Target
) -> Program:
    """The program that was encoded.  ``section``: name -> bytes; ``specs``: of the manifest's layers.

    Raises ArtifactError for sections that hold none, or another one than the library: a library holds what it says of
    itself (``info``) and a hash of all that its tables hold, so nothing else becomes an address.
    """
    try:
        data = json.loads(section("program.json"))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"program.json is no JSON: {error}") from None
    _refuse_scratch(data)
    PROGRAM(data, "program.json")
    try:
        program = _program(data, manifest, specs, section("addresses.bin"), section("weights.bin"))
        own = (f"{info_text(program, target)}\0".encode(), identity(program).to_bytes(8, "little"))
        prefix = prefix_of(program.name)
    except ArtifactError:
        raise
    except Exception as error:  # classes of the program meet what no compiler of ours wrote
        why = error if isinstance(error, LowbitError) else repr(error)
        raise ArtifactError(f"program.json holds no program: {why}") from None
    library = section("library.so")
    if prefix != manifest["prefix"] or not all(claim in library for claim in own):
        raise ArtifactError(f"{program.name}: the program in program.json is not the one in the library")
    return program


def _refuse_scratch(data: Any) -> None:
    """Programs in which scratch memory was an argument among the others: their kernels are called in another way."""
    calls = data.get("calls") if isinstance(data, dict) else None
    for call in calls if isinstance(calls, list) else ():
        args = call.get("args") if isinstance(call, dict) else None
        if any(isinstance(ref, dict) and ref.get("space") == "scratch" for ref in (args if isinstance(args, list) else ())):
            raise ArtifactError(
                "program.json: its kernels take scratch memory as an earlier lowbit gave it; the network runs as it is, but this "
                "lowbit does not know its program; compile again"
            )


def _program(
    data: Mapping[str, Any], manifest: Mapping[str, Any], specs: Sequence[KernelSpec], addresses: bytes, numbers: bytes
) -> Program:
    inputs, outputs, layers = manifest["inputs"], manifest["outputs"], manifest["layers"]
    if len(data["calls"]) != len(layers):
        raise ArtifactError(f"program.json has {len(data['calls'])} calls, manifest.json {len(layers)} layers")
    program = Program(
        name=manifest["name"],
        calls=tuple(_call(*parts) for parts in zip(data["calls"], layers, specs, strict=True)),
        buffers=tuple(Buffer(**{**buffer, "layout": Layout(**buffer["layout"])}) for buffer in data["buffers"]),
        weights=tuple(_placeholder(entry, addresses) for entry in data["weights"]),
        constants=bytes(_part(numbers, 0, data["constant_bytes"], "weights.bin")),
        arena_bytes=manifest["arena_bytes"],
        weight_bytes=manifest["weight_memory_bytes"],
        input_shapes=tuple(tuple(tensor["shape"]) for tensor in inputs),
        output_shapes=tuple(tuple(tensor["shape"]) for tensor in outputs),
        input_names=tuple(tensor["name"] for tensor in inputs),
        output_names=tuple(tensor["name"] for tensor in outputs),
        output_types=tuple(tensor["dtype"] for tensor in outputs),
        tables=_part(addresses, 0, data["table_bytes"], "addresses.bin"),
    )
    plan = plan_weight_file(program)
    if plan.nbytes != len(numbers):
        raise ArtifactError(f"weights.bin has {len(numbers)} bytes, those of program.json take {plan.nbytes}")
    filled = []
    for weights, place in zip(program.weights, plan.layers, strict=True):
        scale, packing = weights.packing.group_scale, weights.packing
        if scale is not None:
            values = np.frombuffer(numbers, np.uint8, scale.size, place.group_scale).reshape(scale.shape)
            packing = replace(packing, group_scale=values)
        filled.append(replace(weights, values=_values(weights, numbers, place.source, place.nbytes), packing=packing))
    constants = numbers[plan.constants : plan.constants + data["constant_bytes"]]
    return replace(program, constants=constants, weights=tuple(filled))


def _call(entry: Mapping[str, Any], layer: Mapping[str, Any], spec: KernelSpec) -> Call:
    x, r, w, b, s, t, o = (Ref(**ref) for ref in entry["args"])
    fills = tuple(Fill(**{**fill, "layout": Layout(**fill["layout"])}) for fill in entry["fills"])
    return Call(layer["name"], spec, (x, r, w, b, s, t, o), fills, layer["macs"], entry["extent"], layer["tuned"])


def _part(data: bytes, at: int, nbytes: int, where: str) -> bytes:
    if at + nbytes > len(data):
        raise ArtifactError(f"program.json: bytes {at} to {at + nbytes} of {where}, which has {len(data)}")
    return data[at : at + nbytes]


def _placeholder(entry: Mapping[str, Any], addresses: bytes) -> Weights:
    """Weights of the right shapes, without their numbers, which take no memory: where they lie follows from the shapes."""
    packing = dict(entry["packing"])
    for name in LAYER_TABLES:
        if packing.get(name) is not None:
            packing[name] = _table(name, addresses, **packing[name])
    if packing["group_scale"] is not None:
        packing["group_scale"] = np.broadcast_to(np.uint8(0), packing["group_scale"])
    values = np.broadcast_to(np.int8(0), entry["shape"])
    return Weights(entry["layer"], values, entry["qtype"], entry["container"], Packing(**packing), entry["offset"])


def _table(name: str, addresses: bytes, at: int, shape: list[int]) -> np.ndarray:
    count = prod(shape)
    if name == "split":
        data = np.frombuffer(_part(addresses, at, packed_size(count, 1), "addresses.bin"), np.uint8)
        return np.unpackbits(data, count=count, bitorder="little").astype(bool).reshape(shape)
    return np.frombuffer(_part(addresses, at, 4 * count, "addresses.bin"), "<i4").reshape(shape)


def _values(weights: Weights, numbers: bytes, at: int, nbytes: int) -> np.ndarray:
    packed = np.frombuffer(numbers, np.uint8, nbytes, at)
    shape = weights.values.shape
    if weights.qtype in FLOAT_TYPES:
        return packed.view(FLOAT_TYPES[weights.qtype]).astype(np.float32, copy=False).reshape(shape)
    return unpack_fields(packed, weights.values.size, QType.parse(weights.qtype), weights.container).reshape(shape)
