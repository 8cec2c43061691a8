"""Integers in bit fields wider than their type: what a layer's ``container`` means on disk."""

from __future__ import annotations

import numpy as np

from lowbit.errors import NumericsError
from lowbit.numerics import QType
from lowbit.numerics.packing import packed_size

__all__ = ["FLOAT_TYPES", "pack_fields", "unpack_fields"]

FLOAT_TYPES = {"f32": "<f4", "f16": "<f2"}
"""Of weights that are no integers: as they lie on disk, numpy's names."""

_CHUNK = 1 << 20  # values expanded to single bits at a time; a multiple of 8, so chunks start at whole bytes


def pack_fields(values: np.ndarray, qtype: QType, bits: int) -> np.ndarray:
    """Integers of ``qtype`` as fields of ``bits`` >= qtype.bits bits: uint8, ceil(size * bits / 8) bytes.

    As numerics.pack_bits, which is the case bits = qtype.bits: two's complement (signed), q (unsigned)
    or (q + 1) / 2 (b1), least significant bit first.  Raises NumericsError for a value outside ``qtype``.
    """
    q = np.ascontiguousarray(values).reshape(-1)
    if q.size and (q.min() < qtype.qmin or q.max() > qtype.qmax or (qtype.bipolar and not q.all())):
        raise NumericsError(f"weights from {q.min()} to {q.max()} do not fit {qtype}: {qtype.qmin} to {qtype.qmax}")
    wide = np.dtype(np.uint16 if bits > 8 else np.uint8)
    fields: np.ndarray = ((q + 1) >> 1 if qtype.bipolar else q).astype(np.int64 if q.dtype.itemsize > 2 else q.dtype).astype(wide)
    if bits in (8, 16):
        return fields.astype(f"<u{bits // 8}").view(np.uint8)
    if bits == 4:
        fields = np.append(fields & 15, np.zeros(fields.size & 1, np.uint8))
        return fields[0::2] | fields[1::2] << 4
    packed = np.empty(packed_size(q.size, bits), np.uint8)
    for start in range(0, q.size, _CHUNK):
        stream = (fields[start : start + _CHUNK, None] >> np.arange(bits, dtype=wide)).astype(np.uint8) & 1
        some = np.packbits(stream.reshape(-1), bitorder="little")
        packed[start * bits // 8 : start * bits // 8 + some.size] = some
    return packed


def unpack_fields(data: np.ndarray, count: int, qtype: QType, bits: int) -> np.ndarray:
    """Inverse of :func:`pack_fields`: ``count`` integers in ``qtype.dtype``, shape (count,)."""
    wide = np.dtype(np.uint16 if bits > 8 else np.uint8)
    values = np.empty(count, qtype.dtype)
    for start in range(0, count, _CHUNK):
        some = min(_CHUNK, count - start)
        first = start * bits // 8
        packed = np.ascontiguousarray(data[first : first + packed_size(some, bits)])
        if bits in (8, 16):
            fields = packed.view(f"<u{bits // 8}")
        else:
            stream = np.unpackbits(packed, count=some * bits, bitorder="little").reshape(some, bits)
            fields = (stream.astype(wide) << np.arange(bits, dtype=wide)).sum(1, dtype=wide)
        values[start : start + some] = qtype.values(fields & ((1 << qtype.bits) - 1))
    return values
