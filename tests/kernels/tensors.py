"""Activations in memory for kernel tests: write logical values into a Layout, read them back."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.layout import Layout

from .harness import aligned

__all__ = ["NUMPY", "empty", "inner", "physical", "place", "random_values"]

NUMPY = {"u8": np.uint8, "i16": np.int16, "f32": np.float32, "bits": np.uint8}
_JUNK = {"u8": 0xA7, "i16": -21555, "f32": 1e30, "bits": 0x5A}


def physical(memory: np.ndarray, layout: Layout) -> np.ndarray:
    """View (n, hp, wp, stride) of the whole buffer."""
    return memory.reshape(layout.n, layout.hp, layout.wp, layout.stride)


def inner(memory: np.ndarray, layout: Layout) -> np.ndarray:
    """View (n, h, w, stride) of the pixels inside the halo, with the padding channels."""
    pixels = physical(memory, layout)
    return pixels[:, layout.top : layout.top + layout.h, layout.left : layout.left + layout.w]


def empty(layout: Layout) -> np.ndarray:
    """A buffer full of junk that a kernel must overwrite, or leave alone outside its pixels."""
    return aligned(np.full(layout.elements, _JUNK[layout.dtype], NUMPY[layout.dtype]))


def place(values: np.ndarray, layout: Layout, halo: float = 0) -> np.ndarray:
    """values (n, h, w, c) in a buffer whose halo holds ``halo`` and whose padding channels hold junk."""
    memory = empty(layout)
    physical(memory, layout)[...] = halo
    inner(memory, layout)[..., layout.c :] = _JUNK[layout.dtype]
    inner(memory, layout)[..., : layout.c] = values
    return memory


def random_values(rng: np.random.Generator, layout: Layout, levels: int = 256) -> np.ndarray:
    """Logical values (n, h, w, c): the full range of i16, stored bytes below ``levels``, or normal floats."""
    shape = (layout.n, layout.h, layout.w, layout.c)
    if layout.dtype == "f32":
        return rng.standard_normal(shape).astype(np.float32)
    lo, hi = (-32768, 32768) if layout.dtype == "i16" else (0, levels)
    return rng.integers(lo, hi, shape).astype(NUMPY[layout.dtype])
