"""Bit fields of any width, packed least significant bit first."""

from __future__ import annotations

import numpy as np

from lowbit.numerics.qtype import QType

__all__ = ["pack_bits", "packed_size", "unpack_bits"]


def packed_size(count: int, bits: int) -> int:
    """Bytes that ``count`` fields of ``bits`` bits take: ceil(count * bits / 8)."""
    return (count * bits + 7) // 8


def pack_bits(values: np.ndarray, qtype: QType) -> np.ndarray:
    """Integers of any shape (flattened in C order) -> uint8 array of ``packed_size`` bytes.

    Field k occupies bits [k*n, (k+1)*n) of the stream; bit j of the stream is bit j % 8 of byte
    j // 8.  For n = 3::

        byte 0          byte 1
        c c b b b a a a | f e e e d d d c       (most significant bit on the left)
    """
    fields = qtype.fields(values).reshape(-1)
    if qtype.bits in (8, 16):
        return fields.astype(f"<u{qtype.bits // 8}").view(np.uint8).copy()
    stream = (fields[:, None] >> np.arange(qtype.bits, dtype=np.uint16)) & 1
    return np.packbits(stream.astype(np.uint8).reshape(-1), bitorder="little")


def unpack_bits(data: np.ndarray, count: int, qtype: QType) -> np.ndarray:
    """Inverse of :func:`pack_bits`: ``count`` integers in ``qtype.dtype``, shape (count,)."""
    data = np.ascontiguousarray(data, np.uint8)
    if data.size < packed_size(count, qtype.bits):
        raise ValueError(f"{data.size} bytes cannot hold {count} fields of {qtype.bits} bits")
    if qtype.bits in (8, 16):
        return qtype.values(data.view(f"<u{qtype.bits // 8}")[:count])
    stream = np.unpackbits(data, count=count * qtype.bits, bitorder="little").reshape(count, qtype.bits)
    return qtype.values((stream.astype(np.uint16) << np.arange(qtype.bits, dtype=np.uint16)).sum(1))
