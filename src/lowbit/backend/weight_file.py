"""The weight file: bit-packed weights in disk order, constants, and the scales of groups.  Numbers only, no addresses.

::

    0   magic "LOWBITW" 0 | version u64 | bytes u64 | identity u64 | sum u64 | 0 ... (64 bytes)
    64  constants | group scales (uint8), each layer's on a multiple of 64 bytes
        weights: layer after layer, ceil(values * container / 8) bytes each, nothing between
        zeros: at least 64, to a multiple of 8

``identity`` ties the file to its library: a hash of the library's tables, which hold every offset.
``sum`` is :func:`checksum` of everything after the header.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.backend.fields import FLOAT_TYPES, pack_fields
from lowbit.errors import NumericsError
from lowbit.lowering.program import Program, Weights
from lowbit.numerics import QType
from lowbit.numerics.packing import packed_size

__all__ = ["HEADER_BYTES", "VERSION", "WeightFilePlan", "WeightsPlace", "checksum", "plan_weight_file", "write_weight_file"]

HEADER_BYTES = 64
VERSION = 2  # 1: also held tables of addresses
_MAGIC = b"LOWBITW\0"
_SPARE = 64  # the runtime reads bit fields with loads wider than the field


@dataclass(frozen=True)
class WeightsPlace:
    """Byte offsets of one layer in the file; ``group_scale`` 0: it has none."""

    source: int
    nbytes: int
    group_scale: int


@dataclass(frozen=True)
class WeightFilePlan:
    """Where everything lies."""

    constants: int
    layers: tuple[WeightsPlace, ...]
    nbytes: int


def _align(offset: int, to: int = 64) -> int:
    return -(-offset // to) * to


def _scales(weights: Weights) -> np.ndarray | None:
    values = weights.packing.group_scale
    return None if values is None else np.ascontiguousarray(values, np.uint8)


def plan_weight_file(program: Program) -> WeightFilePlan:
    """Offsets of the file of ``program``."""
    at = HEADER_BYTES + len(program.constants)
    scales: list[int] = []
    for weights in program.weights:
        values = weights.packing.group_scale
        if values is not None:
            at = _align(at)
        scales.append(0 if values is None else at)
        at += 0 if values is None else values.size
    at = _align(at)
    layers = []
    for weights, scale in zip(program.weights, scales, strict=True):
        nbytes = packed_size(weights.values.size, weights.container)
        layers.append(WeightsPlace(at, nbytes, scale))
        at += nbytes
    return WeightFilePlan(HEADER_BYTES, tuple(layers), _align(at + _SPARE, 8))


def checksum(data: np.ndarray) -> int:
    """sum over words w_i of mix(w_i + i * A) mod 2^64, mix(v) = (v ^ v >> 29) * B.  mix is a bijection,
    so a change within one 8-byte word always changes the sum.  ``data``: uint8, a multiple of 8 bytes."""
    words = data.view("<u8")
    total = 0
    for start in range(0, len(words), 1 << 16):
        v = words[start : start + (1 << 16)] + np.arange(start, min(start + (1 << 16), len(words)), dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        total += int(((v ^ v >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)).sum(dtype=np.uint64))
    return total & (1 << 64) - 1


def write_weight_file(program: Program, identity: int) -> bytes:
    """The bytes of the file.  Raises NumericsError (layer, range) for weights
    outside their type."""
    plan = plan_weight_file(program)
    data = np.zeros(plan.nbytes, np.uint8)
    data[plan.constants : plan.constants + len(program.constants)] = np.frombuffer(program.constants, np.uint8)
    for weights, place in zip(program.weights, plan.layers, strict=True):
        values = _scales(weights)
        if values is not None:
            data[place.group_scale : place.group_scale + values.nbytes] = values.reshape(-1)
        if weights.qtype in FLOAT_TYPES:
            packed = np.ascontiguousarray(weights.values, FLOAT_TYPES[weights.qtype]).reshape(-1).view(np.uint8)
        else:
            try:
                packed = pack_fields(weights.values, QType.parse(weights.qtype), weights.container)
            except NumericsError as error:
                raise NumericsError(f"{weights.layer}: {error}") from None
        data[place.source : place.source + place.nbytes] = packed
    header = np.array([VERSION, plan.nbytes, identity, checksum(data[HEADER_BYTES:])], "<u8")
    data[:8] = np.frombuffer(_MAGIC, np.uint8)
    data[8:40] = header.view(np.uint8)
    return data.tobytes()
