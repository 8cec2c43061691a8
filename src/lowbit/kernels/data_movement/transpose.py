"""Register-level transposition and interleaving."""

from __future__ import annotations

from typing import Any

from tvm import tirx

__all__ = ["interleaved", "transposed"]


def _shuffle(vectors: list[Any], order: list[int]) -> Any:
    return tirx.Shuffle(vectors, [tirx.IntImm("int32", lane) for lane in order])


def transposed(rows: list[Any]) -> list[Any]:
    """n vectors of n lanes (a power of two) -> the n columns.

    log2 n times, row i is interleaved with row i + n/2, which makes rows 2i and 2i + 1: each round moves
    one bit of the row number into the lane number.  For bytes on x86 all of it is punpcklbw / punpckhbw.
    """
    n = len(rows)
    halves = [[lane + offset for k in range(n // 2) for lane in (k, n + k)] for offset in (0, n // 2)]
    for _ in range(n.bit_length() - 1):
        rows = [_shuffle([rows[i], rows[i + n // 2]], order) for i in range(n // 2) for order in halves]
    return rows


def interleaved(streams: list[Any], lanes: int) -> Any:
    """One vector a0 b0 c0 a1 b1 c1 ... of the streams a, b, c."""
    return _shuffle(streams, [lanes * stream + lane for lane in range(lanes) for stream in range(len(streams))])
