"""Blocks of read-only bytes: biases, multipliers and look-up tables; and tables of addresses."""

from __future__ import annotations

import numpy as np

from lowbit.lowering.program import Ref

__all__ = ["ALIGNMENT", "ConstantPool", "align"]

ALIGNMENT = 64  # a cache line, and the widest vector


def align(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class ConstantPool:
    """Collects arrays of ``space`` ("constants" or "tables", see Ref); equal ones are stored once.  Every piece is
    aligned and padded to 64 bytes, so that a kernel may read one whole vector past the end of the last
    piece's elements."""

    def __init__(self, space: str = "constants") -> None:
        self._space = space
        self._pieces: list[bytes] = []
        self._known: dict[bytes, int] = {}
        self._size = 0

    def add(self, array: np.ndarray) -> Ref:
        data = np.ascontiguousarray(array).tobytes()
        if data not in self._known:
            padded = data + bytes(align(len(data) + ALIGNMENT) - len(data))
            self._known[data] = self._size
            self._pieces.append(padded)
            self._size += len(padded)
        return Ref(self._space, self._known[data])

    def floats(self, *values: object) -> Ref:
        """Concatenation of scalars and arrays as float32."""
        return self.add(np.concatenate([np.atleast_1d(np.asarray(v, np.float32)) for v in values]))

    def bytes(self) -> bytes:
        return b"".join(self._pieces)
