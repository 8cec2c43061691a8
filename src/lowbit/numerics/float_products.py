"""How float32 layers multiply: as float32 does, or in a less exact way that somebody asked for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BF16X3", "FLOAT32", "FLOATS", "FloatProducts"]


@dataclass(frozen=True)
class FloatProducts:
    """``name``: what is asked for.  ``meaning``: a clause."""

    name: str
    meaning: str


FLOAT32 = FloatProducts("float32", "products and sums of float32, each rounded once")
BF16X3 = FloatProducts("bf16x3", "three products of bfloat16 in place of one of float32, summed in float32")

FLOATS = {way.name: way for way in (FLOAT32, BF16X3)}
"""The first is what nobody has to ask for."""
