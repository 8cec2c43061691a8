"""Profiles made by hand: a machine that multiplies 60 (float), 120 (int16), 240 (bytes) and 480 (2-bit) products a ns."""

from __future__ import annotations

from typing import Any

from lowbit.profile.result import Profile, ProfiledOperation

__all__ = ["PEAKS", "conv", "operation", "profile"]

PEAKS = {"f32": 60.0, "i16_vnni": 120.0, "u8_vnni": 240.0, "u8_maddubs": 170.0, "lut_permute": 480.0, "bit_popcount": 1200.0}


def operation(layer: str, kind: str, ns: int, **fields: Any) -> ProfiledOperation:
    """An operation that moves 4 kB in a tenth of its time unless said otherwise."""
    sizes = {"input_bytes": 2000, "weight_bytes": 1000, "output_bytes": 1000, "scratch_bytes": 0}
    given = {"op": kind, "kernel": f"{kind}__{layer}", "memory_ns": ns / 10, "level": "L2", **sizes, **fields}
    return ProfiledOperation(layer=layer, kind=kind, ns=ns, **given)


def conv(layer: str, form: str, types: str, ns: int = 50_000, share: float = 0.8, **fields: Any) -> ProfiledOperation:
    """A convolution of this form and ``types`` ("u8 i4") that reaches ``share`` of its peak in ``ns``."""
    act, weight = types.split()
    peak = PEAKS.get(form, 0.0) / fields.get("parts", 1) * fields.get("saved", 1.0)
    given = {
        "kind": "conv2d",
        "container": 32 if weight == "f32" else int(weight[1:]),
        "depth": 1,
        "macs": round((peak or 100.0) * share * ns),
        "peak": peak or None,
        "write_ns": ns / 20,
        **fields,
    }
    return operation(layer, given.pop("kind"), ns, form=form, act=act, weight=weight, **given)


def profile(*operations: ProfiledOperation, name: str = "net", **fields: Any) -> Profile:
    forms = {f"{form} x": PEAKS[form] for form in ("f32", *dict.fromkeys(o.form for o in operations)) if form in PEAKS}
    given = {
        "target": "x86-64-v4-vnni",
        "machine": "a CPU",
        "threads": 1,
        "runs": 3,
        "total_ns": sum(o.ns for o in operations),
        "fastest_ns": sum(o.ns for o in operations),
        "between_ns": 0,
        "forms": forms,
        "memory": {"L2": 100.0, "L3": 70.0, "DRAM": 20.0},
        **fields,
    }
    return Profile(name=name, operations=operations, **given)
