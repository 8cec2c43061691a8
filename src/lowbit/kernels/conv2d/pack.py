"""Weights on disk -> panels in memory: the plain version (the C loader equals it)."""

from __future__ import annotations

import numpy as np

from lowbit.errors import NumericsError
from lowbit.kernels.conv2d.look_up import fits_index
from lowbit.kernels.layout import FLOATS
from lowbit.kernels.packing import FIELDS, Packing
from lowbit.numerics.bfloat16 import split
from lowbit.numerics.groups import expand_groups

__all__ = ["pack_weights", "split_bytes", "split_parts", "weight_blocks"]


def weight_blocks(values: np.ndarray, packing: Packing) -> np.ndarray:
    """Logical weights in the order of the K loop: (blocks, steps, nr, k_group), integers as int32.

    ``values``: (N, runs, run_len), the disk order; zero outside.  Includes group_scale and the windows
    of grouped convolutions, not parts or split.
    """
    p = packing
    values = np.asarray(values).reshape(p.n, p.runs, p.run_len)
    values = values.astype(np.float32 if p.element in FLOATS else np.int32)
    if p.group_scale is not None:
        factor = expand_groups(p.group_scale, p.group_size, p.channels)[:, np.arange(p.run_len) % p.channels]
        values = values * factor.astype(values.dtype)[:, None, :]
    full = np.zeros((p.blocks * p.nr, p.runs, p.run_pad), values.dtype)
    if p.window_start is None:
        full[: p.n, :, : p.run_len] = values
    else:
        per_group = p.n // p.groups
        for n in range(p.n):
            at = n // per_group * p.run_len - int(p.window_start[n // p.nr])
            full[n, :, at : at + p.run_len] = values[n]
    if p.element == "index":
        full = full.reshape(-1, p.runs, p.k_group, p.run_pad // p.k_group).swapaxes(2, 3)
    steps = full.reshape(p.blocks, p.nr, p.runs * (p.run_pad // p.k_group), p.k_group)
    return np.ascontiguousarray(steps.transpose(0, 2, 1, 3))


def pack_weights(values: np.ndarray, packing: Packing) -> bytes:
    """The bytes a kernel reads (see ``Packing``).  Raises NumericsError where a value does not fit."""
    p = packing
    if p.scheme == "taps":
        return _taps(values, p)
    blocks = weight_blocks(values, p)
    if p.element == "bit":
        # logical -1/+1 (0 outside): bit = w > 0; little-endian dwords, bit j = channel j
        return _shuffled(np.packbits(blocks > 0, axis=-1, bitorder="little"), p)
    if p.element == "index":
        if not (fits_index(np.asarray(values), p.bits) and fits_index(blocks[blocks != 0], p.bits)):
            raise NumericsError(f"weights from {blocks.min()} to {blocks.max()} do not fit an index of {p.bits} bits each")
        fields = blocks > 0 if p.bits == 1 else blocks & 3
        return (fields << (p.bits * np.arange(p.k_group))).sum(-1).astype(np.uint8).tobytes()
    if p.split is not None:
        block, step, mode = p.entries.T
        w, mode = blocks[block, step], mode[:, None, None]
        blocks = np.where(mode == 0, w, np.where(mode == 1, w // 2, w - w // 2))
    elif p.element == "bf16":
        blocks = np.stack(split(blocks), axis=2)
    elif p.parts == 2:
        blocks = np.stack(split_bytes(blocks) if p.element == "i8" else split_parts(blocks), axis=2)
    if p.element in FIELDS:
        together, bits = FIELDS[p.element], 8 // FIELDS[p.element]
        if blocks.size and not -(1 << bits - 1) <= blocks.min() <= blocks.max() < 1 << bits - 1:
            raise NumericsError(f"weights from {blocks.min()} to {blocks.max()} do not fit {p.element}")
        single = np.frombuffer(_shuffled(blocks.astype(np.int8), p), np.uint8).reshape(-1, together) & (1 << bits) - 1
        return (single << (bits * np.arange(together))).sum(-1).astype(np.uint8).tobytes()
    return _shuffled(_stored(blocks, p.element), p)


def _shuffled(stored: np.ndarray, p: Packing) -> bytes:
    plain = np.ascontiguousarray(stored).reshape(-1).view(np.uint8)
    return (plain if p.shuffle is None else plain.reshape(-1, len(p.shuffle))[:, p.shuffle]).tobytes()


def split_parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """w = 256 * high + low with low in [-128, 127]."""
    high = (values + 128) >> 8
    return high, values - 256 * high


def split_bytes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of int16, w = 256 * high + low with low in [0, 255], both as the int8 that their bits are."""
    return values >> 8, ((values & 255) ^ 128) - 128


def _stored(values: np.ndarray, element: str) -> np.ndarray:
    dtype = np.dtype({"i8": "<i1", "i16": "<i2", "bf16": "<u2", "f16": "<f2", "f32": "<f4"}[element])
    stored = values.astype(dtype)
    if element not in FLOATS and not np.array_equal(stored, values):
        raise NumericsError(f"weights from {values.min()} to {values.max()} do not fit {element}")
    return stored


def _taps(values: np.ndarray, p: Packing) -> bytes:
    """Depthwise: disk (C, taps) -> (taps, parts, lanes)."""
    taps = p.runs * p.run_len
    values = np.asarray(values).reshape(p.n, taps)
    full = np.zeros((taps, 1, p.nr), np.float32 if p.element in FLOATS else np.int64)
    full[:, 0, : p.n] = values.T
    if p.parts == 2:
        full = np.concatenate(split_parts(full), axis=1)
    return _stored(full, p.element).tobytes()
