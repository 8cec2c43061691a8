"""An emulated run as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowbit.emulate.blocks import CLASSES
from lowbit.emulate.result import Emulation, LayerFigures

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["EXPLANATION", "emulation_table", "summary"]

EXPLANATION = (
    "instructions: executed in one run, exact; estimate: llvm-mca's, of one thread whose loads all hit the first-level cache; "
    "emulated: QEMU's time on this machine, which says nothing about the real one's"
)


def _number(value: float | None, text: str = ",.0f") -> str:
    return "" if value is None else format(value, text)


def _short(value: float) -> str:
    """Three digits or all before the point."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _estimate(layer: LayerFigures, clock_hz: int) -> str:
    return _number(1e3 * layer.cycles / clock_hz, ",.3f") if layer.cycles is not None and clock_hz else ""


def emulation_table(name: str, done: Emulation) -> Table:
    """A row a layer, without columns of which nothing is known.

    "estimate" is llvm-mca's for the real machine, "emulated" is QEMU's time here."""
    from rich.table import Table

    rows = [_row(layer, done.clock_hz) for layer in done.layers]
    if done.instructions is not None:
        rows.append({"layer": "(runtime)", "instructions": _number(done.runtime_instructions)})
    total = {
        "layer": "total",
        "MACs": _number(sum(layer.macs for layer in done.layers)),
        "instructions": _number(done.instructions),
        "estimate ms": _number(done.estimated_ms, ",.3f"),
        "emulated ms": _number(done.times["median_ms"], ",.3f"),
    }
    columns = [
        c for c in ("layer", "MACs", "instructions", *CLASSES, "estimate ms", "emulated ms") if any(row.get(c) for row in rows)
    ]
    table = Table(title=f"{name} for {done.target} under {done.where}")
    for column in columns:
        table.add_column(column, justify="left" if column == "layer" else "right")
    for row in rows:
        table.add_row(*(row.get(column, "") for column in columns))
    table.add_row(*(total.get(column, "") for column in columns), style="bold")
    return table


def _row(layer: LayerFigures, clock_hz: int) -> dict[str, str]:
    return {
        "layer": layer.layer,
        "MACs": _number(layer.macs) if layer.macs else "",
        "instructions": _number(layer.instructions),
        **{name: _number(layer.classes.get(name)) for name in CLASSES},
        "estimate ms": _estimate(layer, clock_hz),
        "emulated ms": _number(layer.emulated_ms, ",.3f"),
    }


def summary(done: Emulation) -> list[str]:
    """What the table cannot say."""
    clock = f"{done.clock_hz / 1e9:g} GHz" if done.clock_hz else "an unknown clock"
    lines = [f"output: {done.verdict}"]
    if done.estimated_ms is not None:
        lines.append(
            f"estimate: {_short(done.estimated_ms)} ms on a real {done.target} at {clock}; from L1, one thread (llvm-mca)"
        )
    plural = "s" if done.threads > 1 else ""
    lines.append(
        f"emulated: {_short(done.times['median_ms'])} ms, median of {done.runs} on {done.threads} thread{plural}; "
        "QEMU's time on this machine, not the Raspberry Pi's"
    )
    return lines + list(done.notes)
