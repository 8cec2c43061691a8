"""What differs between two artifacts."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from rich.table import Table

from lowbit.reporting.layers import LayerReport, layer_reports
from lowbit.reporting.stages import stage_text

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["diff_stage", "diff_table"]


def diff_stage(a: Compiled, b: Compiled, stage: str, names: tuple[str, str], layer: str = "") -> str:
    """Unified diff of one stage's texts; "" when they are equal."""
    left, right = (stage_text(c, stage, layer).splitlines(keepends=True) for c in (a, b))
    return "".join(difflib.unified_diff(left, right, *names))


def _bytes(report: LayerReport) -> str:
    return f"{report.weights.bytes:,}" if report.weights else ""


def _cell(left: object, right: object) -> str:
    return f"{left}" if left == right else f"{left} -> {right}"


def diff_table(a: Compiled, b: Compiled, layer: str = "") -> Table:
    """One line a layer: types, bytes, kernel and hot loop, ``a -> b`` where they differ.

    Layers are matched by name and turn; among those of one name what has weights by that, whatever computes it, and
    the rest by its kind of kernel.
    """
    keyed = [{(r.name, "" if r.weights else r.spec.kind, turn): r for turn, r in _turns(layer_reports(c, layer))} for c in (a, b)]
    table = Table(title="layers; a -> b where they differ")
    for heading in ("layer", "types", "weight bytes", "kernel", "hot loop"):
        table.add_column(heading, overflow="fold")
    for key in dict.fromkeys([*keyed[0], *keyed[1]]):
        present = [side[key] for side in keyed if key in side]
        if len(present) == 1:
            side = "only in a" if key in keyed[0] else "only in b"
            table.add_row(key[0], side, _bytes(present[0]), present[0].spec.label, str(present[0].work))
            continue
        left, right = present
        same = left.object_sha256 == right.object_sha256
        table.add_row(
            key[0],
            _cell(left.types, right.types),
            _cell(_bytes(left), _bytes(right)),
            left.spec.label if same else _cell(left.spec.label, right.spec.label),
            "same code" if same else _cell(left.work, right.work),
        )
    return table


def _turns(reports: list[LayerReport]) -> list[tuple[int, LayerReport]]:
    """(how often the layer came before, report)."""
    seen: dict[str, int] = {}
    numbered = []
    for report in reports:
        numbered.append((seen.get(report.name, 0), report))
        seen[report.name] = seen.get(report.name, 0) + 1
    return numbered
