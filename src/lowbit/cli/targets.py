"""``lowbit targets``: the machines lowbit can compile for."""

from __future__ import annotations

from rich.table import Table

from lowbit.cli.console import results

__all__ = ["command"]


def command() -> None:
    """The targets lowbit compiles for, and which of them this machine can run or emulate."""
    from lowbit.backend.table import obstacle
    from lowbit.errors import UnknownTarget
    from lowbit.targets import TARGETS, find_target

    try:
        best = find_target("native")
        native, costs = best.name, best.costs
    except UnknownTarget:
        native = costs = ""
    table = Table("target", "triple", "vector bytes", "features", "runs here")
    for target in TARGETS.values():
        mark = "yes" if not obstacle(target) else "emulated" if target.qemu_cpu else "no"
        mark = f"native, costs {costs or 'as typed'}" if target.name == native else mark
        features = [*sorted(target.features), *(f"{feature} (emulated)" for feature in sorted(target.emulated))]
        table.add_row(target.name, target.triple, str(target.vector_bytes), " ".join(features), mark)
    results().print(table)
