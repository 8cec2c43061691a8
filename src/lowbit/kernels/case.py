"""What a kernel is tried on: memory for its pointers, and the same numbers for its reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lowbit.kernels.layout import FLOATS, Layout
from lowbit.kernels.spec import KernelSpec

__all__ = ["NUMPY", "Case", "blank", "inner", "physical", "place", "random_values", "results"]

NUMPY = {
    "u8": np.uint8,
    "i16": np.int16,
    "bf16": np.uint16,
    "i32": np.int32,
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
    "bits": np.uint8,
}  # of Layout.dtype
_JUNK = {"u8": 0xA7, "i16": -21555, "bf16": 0xFFA7, "i32": -1515870811, "f16": 3e4, "f32": 1e30, "f64": 1e300, "bits": 0x5A}


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """One call of a kernel and one of its reference, which must agree.

    ``name``: among the cases of its kind.
    ``memory``: pointer -> the array behind it; ``o`` as it is before the call.
    ``values``: arguments of the reference; it returns what the kernel writes.
    ``dst``: where that lies: the first channels of each pixel of ``o`` in this layout; None: all of ``o``.  The kernel
    leaves every other pixel as it is.
    ``bound``: how far results may be away from the reference: 0 for integers.
    ``units``: of a kernel whose spec does not say.
    """

    name: str
    spec: KernelSpec
    memory: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray | None]
    dst: Layout | None
    bound: np.ndarray | float = 0.0
    units: int = 0


def physical(memory: np.ndarray, layout: Layout) -> np.ndarray:
    """View (n, hp, wp, stride) of the whole buffer."""
    return memory.reshape(layout.n, layout.hp, layout.wp, layout.stride)


def inner(memory: np.ndarray, layout: Layout) -> np.ndarray:
    """View (n, h, w, stride) of the pixels inside the halo, with the padding channels."""
    pixels = physical(memory, layout)
    return pixels[:, layout.top : layout.top + layout.h, layout.left : layout.left + layout.w]


def blank(layout: Layout) -> np.ndarray:
    """A buffer full of junk that a kernel must overwrite, or leave alone outside its pixels."""
    return np.full(layout.elements, _JUNK[layout.dtype], NUMPY[layout.dtype])


def place(values: np.ndarray, layout: Layout, halo: float = 0) -> np.ndarray:
    """values (n, h, w, c) in a buffer whose halo holds ``halo`` and whose padding channels hold junk."""
    memory = blank(layout)
    physical(memory, layout)[...] = halo
    inner(memory, layout)[..., layout.c :] = _JUNK[layout.dtype]
    inner(memory, layout)[..., : layout.c] = values
    return memory


def random_values(rng: np.random.Generator, layout: Layout, levels: int = 256) -> np.ndarray:
    """Logical values (n, h, w, c): the full range of i16, stored bytes below ``levels``, or normal floats."""
    shape = (layout.n, layout.h, layout.w, layout.c)
    if layout.dtype in FLOATS:
        return rng.standard_normal(shape).astype(NUMPY[layout.dtype])
    lo, hi = (-32768, 32768) if layout.dtype == "i16" else (0, levels)
    return rng.integers(lo, hi, shape).astype(NUMPY[layout.dtype])


def results(dtype: str) -> tuple[float, float, float]:
    """lo, hi, zero of an integer result that leaves room at both ends of its type, so that both clamps are seen."""
    return {"u8": (-100.0, 120.0, 128.0), "i16": (-32000.0, 31000.0, -55.0), "f32": (-4.0, 5.0, 0.0)}[dtype]
