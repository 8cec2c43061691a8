"""Kernels that work element by element, in numpy: every float32 operation rounded once, as kernels/spec.py defines it."""

from __future__ import annotations

import numpy as np

from lowbit.graph.ops import apply_unary
from lowbit.kernels.elementwise.parameters import PARAMETERS
from lowbit.kernels.elementwise.spec import BinarySpec, LutSpec, UnarySpec
from lowbit.kernels.integer_reference import integer_result, operand

__all__ = ["binary", "lut", "unary"]


_FLOAT = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "maximum": np.maximum, "minimum": np.minimum}


def binary(
    spec: BinarySpec,
    s: np.ndarray,
    x: np.ndarray,
    r: np.ndarray | None = None,
    w: np.ndarray | None = None,
    b: np.ndarray | None = None,
) -> np.ndarray:
    """x, r: stored values (n, h, w, c); r broadcasts for "pixel".  w, b: float32 (c,).  Returns the stored result."""
    s = np.asarray(s, np.float32)
    vx = operand(x, s[0], s[1]) if spec.dst.dtype != "f32" else x
    if r is None:
        f = vx * w + b if spec.fn == "affine" else vx if spec.dst.dtype == "f32" else vx * s[2]
    elif spec.dst.dtype == "f32":
        f = _FLOAT[spec.fn](x, r)
    else:
        vr = operand(r, s[3], s[4])
        if spec.fn == "mul":
            f = (vx.astype(np.int64) * vr.astype(np.int64)).astype(np.float32) * s[2]
        elif spec.fn in ("maximum", "minimum"):
            f = _FLOAT[spec.fn](vx * s[2], vr * s[5])
        else:  # of sub, s[5] is negative
            f = vx * s[2] + vr * s[5]
    if spec.dst.dtype == "f32":
        return np.minimum(np.maximum(f, s[0]), s[1]).astype(np.float32)
    return integer_result(f.astype(np.float32), s[6], s[7], s[8], np.int16 if spec.dst.dtype == "i16" else np.uint8, spec.sign)


def lut(spec: LutSpec, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x: stored values (n, h, w, c); w: the table."""
    return np.asarray(w[x.astype(np.int64) + (32768 if spec.src.dtype == "i16" else 0)])


def unary(spec: UnarySpec, x: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
    """x: float32 (n, h, w, c).  Returns float64, not yet rounded."""
    values = {name: float(value) for (name, _), value in zip(PARAMETERS.get(spec.fn, ()), () if s is None else s, strict=True)}
    if spec.fn == "clamp":
        return np.clip(x.astype(np.float64), values["lo"], values["hi"])
    return apply_unary(spec.fn, x, **values)
