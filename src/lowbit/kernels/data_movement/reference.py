"""InputSpec, OutputSpec, CopySpec, RunsSpec, PackBitsSpec and PackFieldsSpec in numpy."""

from __future__ import annotations

import itertools

import numpy as np

from lowbit.kernels.integer_reference import integer_result, operand
from lowbit.kernels.spec import CopySpec, InputSpec, PackBitsSpec, PackFieldsSpec, RunsSpec

__all__ = ["copy", "dequantized", "packed", "packed_fields", "rescaled", "runs", "stored_input"]


def stored_input(spec: InputSpec, x: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
    """x: float32 (n, h, w, c).  Returns stored values (n, h, w, stride), channels past c the image of 0."""
    padded = np.zeros((*x.shape[:3], spec.dst.stride), np.float32)
    padded[..., : spec.dst.c] = x
    if spec.dst.dtype == "f32":
        return padded
    dtype = np.int16 if spec.dst.dtype == "i16" else np.uint8
    if spec.sign:
        return integer_result(padded, 0, 0, 0, dtype, True)
    scale, lo, hi, zero = np.asarray(s, np.float32)
    with np.errstate(over="ignore"):
        return integer_result(padded / scale, lo, hi, zero, dtype)


def dequantized(stored: np.ndarray, s: np.ndarray) -> np.ndarray:
    """v * s[2], s = [step, shift, scale]; float32."""
    return operand(stored, s[0], s[1]) * np.float32(s[2])


def copy(spec: CopySpec, x: np.ndarray, o: np.ndarray) -> np.ndarray:
    """``o`` (flat) after the copy from ``x`` (flat)."""
    o = o.copy()
    for index in itertools.product(*(range(extent) for extent, _, _ in spec.dims)):
        to = spec.dst_offset + sum(i * d for i, (_, _, d) in zip(index, spec.dims, strict=True))
        o[to] = x[spec.src_offset + sum(i * d for i, (_, d, _) in zip(index, spec.dims, strict=True))]
    return o


def runs(x: np.ndarray, o: np.ndarray, t: np.ndarray) -> np.ndarray:
    """``o`` (flat) after the copy of runs from ``x`` (flat, of o's element type) that ``t`` describes."""
    o = o.copy()
    src, dst, run = (int(v) for v in t[:3])
    dims = np.asarray(t[3:], int).reshape(-1, 3)
    for index in itertools.product(*(range(extent) for extent, _, _ in dims)):
        a, b = src + int(np.dot(index, dims[:, 1])), dst + int(np.dot(index, dims[:, 2]))
        o[b : b + run] = x[a : a + run]
    return o


def rescaled(spec: RunsSpec, x: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Elements of ``x`` on the grid of the destination; s = [step, shift, multiplier, lo, hi, zero]."""
    dtype = np.int16 if spec.dst == "i16" else np.uint8
    f = operand(x, s[0], s[1]) * np.float32(s[2])
    return integer_result(f, s[3], s[4], s[5], dtype, spec.sign)


def packed(spec: PackBitsSpec, pixels: np.ndarray) -> np.ndarray:
    """pixels: (n, hp, wp, stride) of bytes 0 or 1.  Returns (n, hp, wp, dst.stride) bytes."""
    bits = np.zeros((*pixels.shape[:3], 8 * spec.dst.stride), np.uint8)
    bits[..., : spec.src.c] = pixels[..., : spec.src.c]
    return np.packbits(bits, axis=3, bitorder="little")


def packed_fields(spec: PackFieldsSpec, pixels: np.ndarray) -> np.ndarray:
    """pixels: (n, hp, wp, stride) of bytes of ``spec.bits`` bits.  Returns (n, hp, wp, dst.c) bytes."""
    full = np.zeros((*pixels.shape[:3], spec.fields * spec.dst.c), np.uint8)
    full[..., : spec.src.c] = pixels[..., : spec.src.c]
    stretches = full.reshape(*pixels.shape[:3], spec.fields, spec.dst.c)
    shifts = spec.shift + spec.bits * np.arange(spec.fields)
    return (stretches << shifts[:, None]).sum(-2).astype(np.uint8)
