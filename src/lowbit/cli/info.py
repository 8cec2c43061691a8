"""``lowbit info``: this machine, its tools and versions."""

from __future__ import annotations

from rich.table import Table

from lowbit.cli.console import results

__all__ = ["command"]


def command() -> None:
    """This machine: CPU, features, tools, versions, cache."""
    from lowbit.backend.cache import cache_folder
    from lowbit.errors import UnknownTarget
    from lowbit.measure.machine import TOOLS, commit, cpu_features, find_tools, machine, versions
    from lowbit.targets import find_target

    try:
        native = find_target("native").name
    except UnknownTarget as error:
        native = str(error)
    table = Table(show_header=False, box=None)
    table.add_row("machine", machine())
    table.add_row("native target", native)
    table.add_row("cpu features", " ".join(cpu_features()))
    for name, path in find_tools().items():
        purpose, install = TOOLS[name]
        table.add_row(name, f"{path or f'MISSING: {install}'}  ({purpose})")
    table.add_row("versions", ", ".join(f"{name} {version}" for name, version in versions().items()))
    table.add_row("commit", commit() or "not a checkout")
    table.add_row("kernel cache", str(cache_folder()))
    results().print(table)
