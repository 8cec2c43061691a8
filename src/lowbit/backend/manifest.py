"""What an artifact says about itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from lowbit.backend.driver import described_tensors, prefix_of
from lowbit.backend.table import backend_of
from lowbit.backend.weight_file import WeightsPlace, plan_weight_file
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering.program import Call, Program, Weights
from lowbit.targets import Target
from lowbit.version import __version__

__all__ = ["make_manifest"]


def _weights(weights: Weights, place: WeightsPlace) -> dict[str, Any]:
    """``bytes``: on disk, from ``offset`` of weights.bin on; ``values`` weights of ``container`` bits each."""
    return {
        "qtype": weights.qtype,
        "container": weights.container,
        "values": int(weights.values.size),
        "offset": place.source,
        "bytes": place.nbytes,
        "memory_bytes": weights.packing.nbytes,
    }


def _layer(call: Call, target: Target, kernel: bytes, weights: dict[str, Any] | None) -> dict[str, Any]:
    spec = call.spec.to_json()
    error = call.spec.relative_error if isinstance(call.spec, ConvSpec) else None
    return {
        "name": call.layer,
        "op": spec.get("op") or spec.get("fn") or call.spec.kind,
        "kernel": call.spec.symbol(target.name),
        "spec": spec,
        "act": spec.get("act"),
        "weight": spec.get("weight"),
        "weights": weights,
        "macs": call.macs,
        "tuned": call.tuned,
        "object_sha256": hashlib.sha256(kernel).hexdigest(),
        "object_bytes": len(kernel),
        **({} if error is None else {"relative_error": error}),
    }


def _created_with(target: Target) -> dict[str, str]:
    versions = backend_of(target).tools(target)
    for name, package in (("tvm", "apache-tvm"), ("torch", "torch"), ("numpy", "numpy")):
        try:
            versions[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def make_manifest(
    program: Program, target: Target, kernel_objects: Mapping[KernelSpec, bytes], prefix: str | None = None
) -> dict[str, Any]:
    """JSON-able description: network, target, tools, tensors, one entry a kernel call in ``layers``.

    ``tuned`` of a layer: whether its kernel was chosen by measurement, None where there is no choice.
    ``relative_error``, of float32 layers that multiply as was asked for, bounds their error (ConvSpec.relative_error).
    A layer without weights has ``weights`` None; ``act`` and ``weight`` are texts of QTypes or None.
    Sizes in bytes.  Raises ToolMissing as ``Backend.tools``.
    """
    plan = plan_weight_file(program)
    placed = {w.layer: _weights(w, place) for w, place in zip(program.weights, plan.layers, strict=True)}
    return {
        "lowbit": __version__,
        "name": program.name,
        "prefix": prefix or prefix_of(program.name),
        "target": target.to_json(),
        "created_with": _created_with(target),
        **described_tensors(program),
        "layers": [
            _layer(call, target, kernel_objects[call.spec], placed.get(call.layer) if call.macs else None)
            for call in program.calls
        ],
        "arena_bytes": program.arena_bytes,
        "constant_bytes": len(program.constants),
        "weight_bytes": sum(place.nbytes for place in plan.layers),
        "weight_memory_bytes": program.weight_bytes,
        "macs": sum(call.macs for call in program.calls),
    }
