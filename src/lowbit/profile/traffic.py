"""What one call of a kernel moves and how far it can be shared out, from the spec in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowbit.kernels.spec import KernelSpec

__all__ = ["Traffic", "traffic_of", "units_of"]


@dataclass(frozen=True)
class Traffic:
    """``inputs``: source and residual; ``weights``: as they lie in memory; ``output``; ``scratch``: tables the kernel
    reads and memory of its own.  Whole tensors with their halo and channel padding, each counted once."""

    inputs: int
    weights: int
    output: int
    scratch: int

    @property
    def total(self) -> int:
        return self.inputs + self.weights + self.output + self.scratch


def traffic_of(entry: Mapping[str, Any]) -> Traffic | None:
    """What the layer with this manifest entry moves; None for a kernel whose spec does not say.  O(1)."""
    from lowbit.kernels.layout import ELEMENT_BYTES, Layout

    spec = entry["spec"]

    def size(*names: str) -> int:
        return sum(Layout(**spec[name]).nbytes for name in names if spec.get(name))

    weights = entry["weights"]["memory_bytes"] if entry["weights"] else 0
    kind = spec["kind"]
    if kind == "copy":
        moved = prod(extent for extent, *_ in spec["dims"]) * ELEMENT_BYTES[spec["dtype"]]
        return Traffic(moved, weights, moved, 0)
    if kind in ("input", "output"):
        tensor = Layout(**spec["dst" if kind == "input" else "src"])
        users = tensor.pixels * tensor.c * ELEMENT_BYTES["f32"]
        return Traffic(users, 0, tensor.nbytes, 0) if kind == "input" else Traffic(tensor.nbytes, 0, users, 0)
    if not isinstance(spec.get("src"), dict) or not isinstance(spec.get("dst"), dict):
        return None
    return Traffic(size("src", "other", "residual"), weights, size("dst"), _scratch(spec))


def units_of(spec: Mapping[str, Any]) -> int | None:
    """Pieces that threads can take; None where only the call knows, or the kind is not known here."""
    known = _known(spec)
    return None if known is None or spec["kind"] in ("gather", "runs") else known.units


def _known(spec: Mapping[str, Any]) -> KernelSpec | None:
    from lowbit.kernels.spec import spec_from_json
    from lowbit.kernels.table import KERNELS

    return spec_from_json(dict(spec)) if spec["kind"] in KERNELS else None


def _scratch(spec: Mapping[str, Any]) -> int:
    from lowbit.kernels.conv2d.forms import FORMS
    from lowbit.kernels.layout import ELEMENT_BYTES

    known = _known(spec)
    own = known.scratch_bytes if known else 0
    if spec["kind"] == "lut":
        return own + 256 ** ELEMENT_BYTES[spec["src"]["dtype"]] * ELEMENT_BYTES[spec["dst"]["dtype"]]
    form = FORMS.get(str(spec.get("form")))
    return own + (form.table_bytes if form else 0)
