"""``lowbit targets``: the machines lowbit can compile for."""

from __future__ import annotations

from rich.table import Table

from lowbit.cli.console import results

__all__ = ["command"]


def command() -> None:
    """The targets lowbit compiles for, and which of them this machine can run or emulate."""
    from lowbit.errors import UnknownTarget
    from lowbit.targets import TARGETS, find_target
    from lowbit.targets.host import host_features, host_machine

    try:
        native = find_target("native").name
    except UnknownTarget:
        native = ""
    table = Table("target", "triple", "vector bytes", "features", "runs here")
    for target in TARGETS.values():
        here = target.triple.startswith(host_machine()) and target.features <= host_features()
        mark = "native" if target.name == native else "yes" if here else "emulated" if target.qemu_cpu else "no"
        table.add_row(target.name, target.triple, str(target.vector_bytes), " ".join(sorted(target.features)), mark)
    results().print(table)
