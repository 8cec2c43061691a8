"""float16 in memory: the kernels of float32, which read and store halves.

Every value becomes a float32 when it is read, exactly; everything is computed as in float32; a result is rounded once, half to
even, when it is stored.  A kernel that stores what it reads again (softmax: exponentials, then their shares) rounds each time.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from tvm.script import tirx as T

from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec

__all__ = ["as_float32", "halves_of", "loaded", "stored"]

_HALF = "f16"
_POINTERS = {"src": "x", "dst": "o", "residual": "r", "other": "r", "weight": "w"}  # field of a spec -> what it describes
_OWN = frozenset({"copy", "gather", "input", "output", "runs"})  # kinds that move bits, or say themselves how


def loaded(bits: Any) -> Any:
    """float32 of the bits of a float16 (uint16)."""
    return T.call_pure_extern("float32", "lowbit_half_to_float", bits)


def stored(value: Any) -> Any:
    """Bits of the float16 (uint16) next to a float32, of the even one of two; beyond 65519 infinity."""
    return T.call_pure_extern("uint16", "lowbit_float_to_half", value)


def halves_of(spec: KernelSpec) -> frozenset[str]:
    """The pointers behind which a kernel of float32 would find halves; none for kinds and forms that know halves themselves."""
    if spec.kind in _OWN or (getattr(spec, "form", _HALF) != _HALF and spec.kind == "conv2d"):
        return frozenset()
    values = {f.name: getattr(spec, f.name) for f in fields(spec)}
    kept = {name: value.dtype if isinstance(value, Layout) else value for name, value in values.items()}
    return frozenset(pointer for name, pointer in _POINTERS.items() if kept.get(name) == _HALF)


def as_float32(spec: KernelSpec) -> KernelSpec:
    """The same kernel of float32."""

    def plain(value: Any) -> Any:
        if isinstance(value, Layout) and value.dtype == _HALF:
            return replace(value, dtype="f32")
        return "f32" if value == _HALF else value

    return replace(spec, **{f.name: plain(getattr(spec, f.name)) for f in fields(spec)})
