"""What each kernel computes: frozen, JSON-able descriptions from which TensorIR is generated.

One calling convention for all kernels::

    void kernel(const void *x, const void *r, const void *w, const void *b,
                const float *s, const int32_t *t, void *o, int32_t lo, int32_t hi)

``[lo, hi)`` is a range of the kernel's ``units``, its parallel loop.  Unused pointers are NULL.
No two pointers alias.  Kernels allocate nothing and call nothing.  What they become addresses by is in ``t``.

A kernel may ask for more, and only then pays for it.  One with ``scratch_bytes`` has a last argument ``void *m``: memory of
the working thread, 64-byte aligned, with any content.  One that is ``bracketed`` comes with two functions
``<symbol>__begin(void *m)`` and ``<symbol>__end(void *m)``: each thread that computes units of a call runs them before the
first and after the last of these (``m`` as the kernel has it).  So a unit finds what they set up, the tiles of a matrix unit,
and what ``begin`` and the thread's earlier units left in ``m``.

**Stored integers.**  An activation of at most 8 bits is stored as an unsigned byte, one of 16 bits
as int16: ``q = stored * step + off`` with (step, off) = (1, 0) for u1..u8 and i16, (1, qmin) for
i2..i8, (2, -1) for b1.  Kernels see stored values; the parameters below carry step and off.

**Integer operand** (elementwise, pool, residual): ``v = f32(stored) * step + shift`` with
``shift = off - zero_point``, exact in float32, equals q - zero_point.

**Integer result** of a real value f (float32, in units of the output scale):
``stored = int(clamp(rint(f), lo, hi)) + zero`` with ``lo = qlo - zero_point``,
``hi = qhi - zero_point``, ``zero = zero_point - off`` (all floats in ``s``); for ``sign`` outputs
(b1) ``stored = f >= 0``.  Every product that feeds an add is fenced: no FMA contraction.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

from lowbit.kernels.layout import Layout
from lowbit.kernels.named import named
from lowbit.kernels.table import KERNELS

__all__ = ["KernelSpec", "spec_from_json"]


@dataclass(frozen=True)
class KernelSpec:
    """Base of all specs.  Equal specs share one kernel."""

    kind: ClassVar[str] = ""
    unsaid: ClassVar[frozenset[str]] = frozenset()  # fields that JSON does not say where they have their default

    @property
    def units(self) -> int:
        """Length of the parallel loop; kinds without one leave it to the call."""
        raise NotImplementedError

    @property
    def scratch_bytes(self) -> int:
        """Bytes of memory that each thread needs, at ``m``; 0: none."""
        return 0

    @property
    def bracketed(self) -> bool:
        """Whether threads begin and end their share of its units; its builder then returns (kernel, begin, end)."""
        return False

    @property
    def label(self) -> str:
        """Readable part of the symbol: ``<op>_<act><weight>_<acc>``; the ISA and tile follow it."""
        return self.kind

    @property
    def generator(self) -> tuple[str, ...]:
        """What else than the fields and the generating sources decides which code is generated."""
        return ()

    def to_json(self) -> dict[str, Any]:
        unsaid = {f.name: f.default for f in fields(self) if f.name in self.unsaid}
        return {"kind": self.kind, **{name: value for name, value in asdict(self).items() if unsaid.get(name, ...) != value}}

    def digest(self) -> str:
        return self._digest

    @cached_property  # asked for many times while a network is put together
    def _digest(self) -> str:
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def symbol(self, target: str) -> str:
        """C symbol of the kernel, e.g. ``conv2d_u8i4_i32_maddubs8_4x16__x86_64_v3__1a2b3c4d``."""
        return f"{self.label}__{target.replace('-', '_').replace('.', '_')}__{self.digest()[:8]}"


def spec_from_json(data: dict[str, Any]) -> KernelSpec:
    """Inverse of :meth:`KernelSpec.to_json` (lists become tuples, layouts become Layout).

    Raises KeyError for a kind that the table of kernels does not have, and for a field that is not said."""
    cls: type[KernelSpec] = named(KERNELS[data["kind"]].spec)
    values: dict[str, Any] = {}
    for f in fields(cls):
        if f.name in cls.unsaid and f.name not in data:
            continue
        value = data[f.name]
        if isinstance(value, dict):
            value = Layout(**value)
        elif isinstance(value, list):
            value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
        values[f.name] = value
    return cls(**values)
