"""``lowbit info``: this machine, its tools and versions; or an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lowbit.cli.console import results

__all__ = ["command"]


def command(
    artifact: Annotated[Path | None, typer.Argument(help="NAME.lowbit: what it is, instead of this machine.")] = None,
    expect: Annotated[str | None, typer.Option(help="BLAKE2b-256 that the artifact must have (b2sum -l 256).")] = None,
    operations: Annotated[bool, typer.Option("--operations", help="The operations of torch that lowbit compiles.")] = False,
) -> None:
    """This machine: CPU, features, tools, versions, cache; or what an artifact is."""
    if operations:
        _operations()
    elif artifact is None:
        _machine()
    else:
        _artifact(artifact, expect)


def _artifact(path: Path, expect: str | None) -> None:
    from lowbit.runtime import load

    network = load(path, expect=expect)
    manifest = network.manifest
    table = Table(show_header=False, box=None)
    table.add_row("name", network.name)
    table.add_row("BLAKE2b-256", network.digest)
    table.add_row("target", f"{manifest['target']['name']} ({', '.join(manifest['target']['features']) or 'no features'})")
    table.add_row("costs", network.target.costs or "as typed")
    versions = {"lowbit": manifest["lowbit"], **manifest["created_with"]}
    table.add_row("made by", ", ".join(f"{name} {version}" for name, version in versions.items()))
    for kind in ("inputs", "outputs"):
        table.add_row(kind, "; ".join(f"{t['name']} {'x'.join(map(str, t['shape']))}" for t in manifest[kind]))
    table.add_row("layers", f"{len(manifest['layers'])}, {manifest['macs']:,} multiply-accumulates")
    if errors := network.float_error:
        most = max(errors.values())
        said = f"{len(errors)} layers multiply as was asked for, off by at most {most:.1e} of the magnitudes that they sum"
        table.add_row("float32", f"{said} (docs/numerics.md)")
    table.add_row("sections", ", ".join(f"{name} {len(network.section(name)):,}" for name in network.sections))
    results().print(table)


def _operations() -> None:
    """What is compiled, under torch's own names; and what is not, with what to write instead."""
    from lowbit.frontend.handlers.table import HANDLERS
    from lowbit.frontend.refusals import INSTEAD

    compiled = sorted(name for name in HANDLERS if not name.startswith("_"))
    results().print(f"compiled, under the names of torch.ops.aten ({len(compiled)}):\n{', '.join(compiled)}\n", highlight=False)
    refused: dict[str, list[str]] = {}
    for name, why in INSTEAD.items():
        if not name.startswith("_"):
            refused.setdefault(why, []).append(name)
    table = Table("not compiled", "why, and what to write instead", box=None, padding=(0, 1, 1, 1))
    for why, names in refused.items():
        table.add_row(", ".join(names), why)
    results().print(table, highlight=False)


def _machine() -> None:
    from lowbit.errors import UnknownTarget
    from lowbit.files import cache_folder
    from lowbit.measure.machine import TOOLS, commit, cpu_features, find_tools, machine, versions
    from lowbit.targets import find_target
    from lowbit.targets.costs import costs_in_words
    from lowbit.targets.gpu import host_gpus
    from lowbit.targets.host import host_cpu

    try:
        target = find_target("native")
        native, costs = target.name, costs_in_words(target.costs, host_cpu())
    except UnknownTarget as error:
        native, costs = str(error), "none"
    table = Table(show_header=False, box=None)
    table.add_row("machine", machine())
    table.add_row("native target", native)
    table.add_row("costs", costs)
    table.add_row("cpu features", " ".join(cpu_features()))
    gpus, why = host_gpus()
    for gpu in gpus:
        size = f"{gpu.memory_bytes / 2**30:.0f} GiB"
        table.add_row(f"gpu {gpu.number}", f"{gpu.name}, {gpu.arch}, {size}, driver of CUDA {gpu.driver}")
    if not gpus:
        table.add_row("gpu", f"none: {why}")
    for name, path in find_tools().items():
        purpose, install = TOOLS[name]
        table.add_row(name, f"{path or f'MISSING: {install}'}  ({purpose})")
    table.add_row("versions", ", ".join(f"{name} {version}" for name, version in versions().items()))
    table.add_row("commit", commit() or "not a checkout")
    table.add_row("kernel cache", str(cache_folder()))
    results().print(table)
