"""A Program: kernel calls over one arena.  Everything the backend needs, nothing about tensors."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lowbit.kernels.layout import Layout
from lowbit.kernels.packing import Packing
from lowbit.kernels.spec import KernelSpec

__all__ = ["NULL", "SPACES", "Buffer", "Call", "Fill", "Packing", "Program", "Ref", "Weights"]


@dataclass(frozen=True)
class Ref:
    """A pointer the runtime forms: ``space`` "arena" / "constants" / "tables" / "weights" + byte ``offset``,
    or "input" / "output" where ``offset`` is the index of the user's tensor, or "null"."""

    space: str
    offset: int = 0


SPACES = ("null", "arena", "constants", "tables", "weights", "input", "output")
NULL = Ref("null")


@dataclass(frozen=True)
class Fill:
    """Before the call: set the halo of a buffer (``whole``: all of it) to one element value.

    ``value`` is the stored element: a byte for u8/bits, int16 for i16, the bits of a float."""

    offset: int  # bytes into the arena
    layout: Layout
    value: int
    whole: bool = False


@dataclass(frozen=True)
class Call:
    """One kernel call.  ``args``: x, r, w, b, s, t, o in the order of kernels/spec.py; scratch memory is the runtime's.
    ``extent``: units of a kernel whose spec does not say.  ``tuned``: whether a measured decision chose the kernel; None
    where there is nothing to decide."""

    layer: str
    spec: KernelSpec
    args: tuple[Ref, Ref, Ref, Ref, Ref, Ref, Ref]
    fills: tuple[Fill, ...] = ()
    macs: int = 0
    extent: int = 0
    tuned: bool | None = None

    @property
    def units(self) -> int:
        return self.extent or self.spec.units


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of one layer: logical integers (or float32) in disk order, and their fate.

    ``qtype``: text of the QType, "f32" or "f16".  ``container``: bits a value takes on disk (32 and 16 for floats).
    ``offset``: byte offset of the unpacked form in the runtime's weight memory (64-byte aligned).
    """

    layer: str
    values: np.ndarray
    qtype: str
    container: int
    packing: Packing
    offset: int


@dataclass(frozen=True)
class Buffer:
    """An activation in the arena, alive from call ``first`` to call ``last`` inclusive."""

    name: str
    layout: Layout
    first: int
    last: int
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Program:
    """``constants``: one read-only block of bytes (biases, multipliers, look-up tables), 64-byte aligned pieces: numbers
    only, whatever they are no kernel leaves its buffers.  ``tables``: another of what kernels turn into addresses
    (windows, offsets, extents), which is part of the library and not of the weight file.  ``output_types``: float32, or int64 of
    positions; none given: all float32."""

    name: str
    calls: tuple[Call, ...]
    buffers: tuple[Buffer, ...]
    weights: tuple[Weights, ...]
    constants: bytes
    arena_bytes: int
    weight_bytes: int
    input_shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    input_names: tuple[str, ...] = field(default_factory=tuple)
    output_names: tuple[str, ...] = field(default_factory=tuple)
    output_types: tuple[str, ...] = ()
    tables: bytes = b""

    @property
    def scratch_bytes(self) -> int:
        """What a thread needs for any one call."""
        return max((call.spec.scratch_bytes for call in self.calls), default=0)

    @property
    def types_of_outputs(self) -> tuple[str, ...]:
        return self.output_types or ("float32",) * len(self.output_shapes)

    @property
    def specs(self) -> tuple[KernelSpec, ...]:
        """Distinct kernels, in order of first use."""
        return tuple(dict.fromkeys(call.spec for call in self.calls))
