"""Kernels that move elements, in numpy."""

from __future__ import annotations

import itertools

import numpy as np

from lowbit.kernels.data_movement.spec import (
    CopySpec,
    GatherSpec,
    InputSpec,
    OutputSpec,
    PackBitsSpec,
    PackBytesSpec,
    PackFieldsSpec,
    PackHalvesSpec,
    PackPairsSpec,
    PackTapsSpec,
    RunsSpec,
    WordRole,
    word_roles,
)
from lowbit.kernels.integer_reference import integer_result, operand
from lowbit.kernels.layout import FLOATS
from lowbit.numerics.bfloat16 import split

__all__ = [
    "copy",
    "gather",
    "output",
    "packed_bits",
    "packed_bytes",
    "packed_fields",
    "packed_halves",
    "packed_pairs",
    "packed_taps",
    "runs",
    "stored_input",
]


def stored_input(spec: InputSpec, x: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
    """x: float32 (n, h, w, c).  Returns stored values (n, h, w, stride), channels past c the image of 0."""
    padded = np.zeros((*x.shape[:3], spec.dst.stride), np.float32)
    padded[..., : spec.dst.c] = x
    if spec.dst.dtype in FLOATS:
        return padded if spec.dst.dtype == "f32" else padded.astype(np.float16)
    dtype = np.int16 if spec.dst.dtype == "i16" else np.uint8
    if spec.sign:
        return integer_result(padded, 0, 0, 0, dtype, True)
    scale, lo, hi, zero = np.asarray(s, np.float32)
    with np.errstate(over="ignore"):
        return integer_result(padded / scale, lo, hi, zero, dtype)


def output(spec: OutputSpec, x: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
    """x: stored values (n, h, w, c).  Returns the user's tensor, flat in its memory order: v * s[2], s = [step, shift, scale]."""
    values = x if s is None else operand(x, s[0], s[1]) * np.float32(s[2])
    o = np.empty(x.size, np.float32)
    np.lib.stride_tricks.as_strided(o, x.shape, [4 * stride for stride in spec.strides])[...] = values
    return o


def copy(spec: CopySpec, x: np.ndarray, o: np.ndarray) -> np.ndarray:
    """``o`` (flat) after the copy from ``x`` (flat)."""
    o = o.copy()
    for index in itertools.product(*(range(extent) for extent, _, _ in spec.dims)):
        to = spec.dst_offset + sum(i * d for i, (_, _, d) in zip(index, spec.dims, strict=True))
        o[to] = x[spec.src_offset + sum(i * d for i, (_, d, _) in zip(index, spec.dims, strict=True))]
    return o


def gather(spec: GatherSpec, x: np.ndarray, o: np.ndarray, t: np.ndarray) -> np.ndarray:
    """``o`` (flat) after the pieces that ``t`` lists have been copied from ``x`` (flat)."""
    o, begin = o.copy(), int(t[1])
    units = np.asarray(t[2:begin], int).reshape(-1, 2)
    pieces = np.asarray(t[begin:], int).reshape(int(t[0]), -1)
    for a, b in units:
        for src, dst, *length in pieces:
            run = length[0] if length else spec.run
            o[b + dst : b + dst + run] = x[a + src : a + src + run]
    return o


def runs(spec: RunsSpec, x: np.ndarray, o: np.ndarray, t: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
    """``o`` (flat) after the copy of runs from ``x`` (flat) that ``t`` describes; s = [step, shift, multiplier, lo, hi,
    zero] of ``rescale``."""
    if s is not None:
        f = operand(x, s[0], s[1]) * np.float32(s[2])
        x = integer_result(f, s[3], s[4], s[5], np.int16 if spec.dst == "i16" else np.uint8, spec.sign)
    o = o.copy()
    src, dst, run = (int(v) for v in t[:3])
    dims = np.asarray(t[3:], int).reshape(-1, 3)
    for index in itertools.product(*(range(extent) for extent, _, _ in dims)):
        a, b = src + int(np.dot(index, dims[:, 1])), dst + int(np.dot(index, dims[:, 2]))
        o[b : b + run] = x[a : a + run]
    return o


def packed_bits(spec: PackBitsSpec, x: np.ndarray) -> np.ndarray:
    """x: (n, hp, wp, stride) of bytes 0 or 1.  Returns (n, hp, wp, dst.stride) bytes."""
    bits = np.zeros((*x.shape[:3], 8 * spec.dst.stride), np.uint8)
    bits[..., : spec.src.c] = x[..., : spec.src.c]
    return np.packbits(bits, axis=3, bitorder="little")


def packed_bytes(spec: PackBytesSpec, x: np.ndarray) -> np.ndarray:
    """x: (n, hp, wp, stride) int16.  Returns (2n, hp, wp, stride) bytes."""
    return np.concatenate([x & 255, x >> 8 & 255]).astype(np.uint8)


def packed_halves(spec: PackHalvesSpec, x: np.ndarray) -> np.ndarray:
    """x: (n, hp, wp, stride) float32.  Returns (2n, hp, wp, dst.stride) bits of bfloat16."""
    halves = np.zeros((2 * x.shape[0], *x.shape[1:3], spec.dst.stride), np.uint16)
    halves[..., : spec.src.c] = np.concatenate(split(x[..., : spec.src.c]))
    return halves


def packed_fields(spec: PackFieldsSpec, x: np.ndarray) -> np.ndarray:
    """x: (n, hp, wp, stride) of bytes of ``spec.bits`` bits.  Returns (n, hp, wp, dst.c) bytes."""
    full = np.zeros((*x.shape[:3], spec.fields * spec.dst.c), np.uint8)
    full[..., : spec.src.c] = x[..., : spec.src.c]
    stretches = full.reshape(*x.shape[:3], spec.fields, spec.dst.c)
    shifts = spec.shift + spec.bits * np.arange(spec.fields)
    return (stretches << shifts[:, None]).sum(-2).astype(np.uint8)


def packed_pairs(spec: PackPairsSpec, x: np.ndarray) -> np.ndarray:
    """x: (n, hp, wp, stride) bytes.  Returns (n, hp, wp, dst.stride) elements of dst."""
    wide = spec.dst.dtype == "i16"
    group = 2 if wide else 4
    unsigned, signed = (np.int16, np.int16) if wide else (np.uint8, np.int8)
    values, real = x.reshape(*x.shape[:3], -1, group).astype(np.int64), np.arange(x.shape[3]) < spec.src.c
    roles = np.array(word_roles(values.shape[3], spec.mixed))
    shifts = np.array([spec.first, -spec.second, 0])[roles][:, None]
    stored = np.where(real.reshape(-1, group), values + shifts, 0)
    a = stored[..., roles == WordRole.A, :].astype(unsigned)
    b = stored[..., roles == WordRole.B, :].astype(signed)
    sums = -(a.astype(np.int64) * b.astype(np.int64)).sum((-2, -1), keepdims=True)[..., 0].astype(np.int32)
    return np.concatenate([stored.astype(unsigned).reshape(x.shape), sums.view(unsigned)], axis=-1)


def packed_taps(spec: PackTapsSpec, x: np.ndarray) -> np.ndarray:
    """x: (n, hp, wp, c) bytes.  Returns (n, h, w, taps * c)."""
    h, w = spec.dst.h, spec.dst.w
    top, left = spec.src.top - spec.padding[0], spec.src.left - spec.padding[1]
    taps = []
    for ky, kx in np.ndindex(*spec.kernel):
        y, z = top + ky * spec.dilation[0], left + kx * spec.dilation[1]
        rows = x[:, y : y + (h - 1) * spec.stride[0] + 1 : spec.stride[0]]
        taps.append(rows[:, :, z : z + (w - 1) * spec.stride[1] + 1 : spec.stride[1]])
    return np.concatenate(taps, axis=3)
