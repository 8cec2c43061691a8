"""Each row beside the fastest other runtime of the same kind, and beside its own float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["FLOAT_BOUND", "Ratio", "checked", "fastest_peer", "is_float", "ratios"]

Row = Mapping[str, Any]
FLOAT_BOUND = 1e-4  # of the largest output: what float32 may differ from the float64 network


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as another row; above 1 is faster.  None where that row was not measured.

    ``of_peer``: of the fastest other runtime of this group, float32 for float32 rows, int8 for all others.
    ``of_float``: of the same runtime's float32."""

    of_peer: float | None
    of_float: float | None


def is_float(row: Row) -> bool:
    return str(row["config"]).endswith("fp32")


def fastest_peer(rows: Sequence[Row], floating: bool) -> Row | None:
    """By median, among rows of other runtimes of this kind."""
    peers = [row for row in rows if row["runtime"] != "lowbit" and is_float(row) == floating]
    return min(peers, key=lambda row: row["median_ms"], default=None)


def ratios(rows: Sequence[Row]) -> dict[str, Ratio]:
    """By configuration."""

    def of(row: Row, other: Row | None) -> float | None:
        return None if other is None else other["median_ms"] / row["median_ms"]

    own = {row["runtime"]: row for row in rows if is_float(row)}
    return {row["config"]: Ratio(of(row, fastest_peer(rows, is_float(row))), of(row, own.get(row["runtime"]))) for row in rows}


def checked(row: Row) -> str:
    """The output check in a word: integers equal the oracle's, float32 stays within FLOAT_BOUND of float64; other
    runtimes' int8 has no right answer here, so its cosine with the float network is given."""
    if row["exact"] is not None:
        return "exact" if row["exact"] else "**WRONG**"
    if is_float(row):
        error = row["relative_error"]
        return f"{error:.0e}" if error <= FLOAT_BOUND else f"**{error:.0e}**"
    return f"cosine {row['cosine']:.3f}"
