"""How a quantized value is stored: ``q = stored * step + off`` (see kernels/spec.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.errors import UnsupportedPrecision
from lowbit.graph import TensorType
from lowbit.numerics import QParams

__all__ = ["Stored", "stored_form"]


@dataclass(frozen=True)
class Stored:
    """Element type of a value in memory and the map from stored elements to integers.

    ``step``, ``off``: (1, 0) for unsigned types and i16, (1, qmin) for i2..i8, (2, -1) for b1.
    """

    dtype: str
    quant: QParams | None
    step: int = 1
    off: int = 0

    @property
    def sign(self) -> bool:
        """Whether the value is one of {-1, +1}."""
        return self.quant is not None and self.quant.qtype.bipolar

    @property
    def scale(self) -> float:
        return 1.0 if self.quant is None else float(self.quant.scale)

    @property
    def zero_point(self) -> int:
        return 0 if self.quant is None else self.quant.zero_point

    @property
    def zero(self) -> int:
        """The stored element that stands for quantize(0)."""
        if self.quant is None:
            return 0
        return 1 if self.sign else self.zero_point - self.off

    @property
    def operand(self) -> tuple[float, float]:
        """(step, shift) with q - zero_point = stored * step + shift."""
        return float(self.step), float(self.off - self.zero_point)

    @property
    def largest(self) -> int:
        """The largest stored element of an integer."""
        assert self.quant is not None
        return (self.quant.qtype.qmax - self.off) // self.step

    def of(self, q: np.ndarray) -> np.ndarray:
        """Integers -> stored elements, as uint8 / int16; floats -> float32 or float16."""
        if self.quant is None:
            return np.asarray(q, np.float16 if self.dtype == "f16" else np.float32)
        dtype = np.int16 if self.dtype == "i16" else np.uint8
        return ((np.asarray(q).astype(np.int32) - self.off) // self.step).astype(dtype)

    def result(self, qlo: int, qhi: int) -> list[float]:
        """[lo, hi, zero] of an integer result clamped to [qlo, qhi]."""
        return [float(qlo - self.zero_point), float(qhi - self.zero_point), float(self.zero_point - self.off)]


_FLOATS = {"float32": "f32", "float16": "f16"}


def stored_form(name: str, tensor: TensorType, real: str = "float32") -> Stored:
    """The stored form of an activation, of floats by ``Graph.real``; of positions int32.

    Raises UnsupportedPrecision for types no kernel reads."""
    quant = tensor.quant
    if quant is None:
        return Stored("i32" if tensor.dtype == "int64" else _FLOATS[real], None)
    qtype = quant.qtype
    if qtype.bits == 16:
        if not qtype.signed:
            raise UnsupportedPrecision(f"{name}: activations of type u16 have no kernel; use i16")
        return Stored("i16", quant)
    if qtype.bipolar:
        return Stored("u8", quant, 2, -1)
    return Stored("u8", quant, 1, qtype.qmin if qtype.signed else 0)
