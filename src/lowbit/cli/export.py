"""``lowbit export``: an artifact -> files for a C or C++ program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import results

__all__ = ["command"]


def command(
    artifact: Annotated[Path, typer.Argument(help="NAME.lowbit")],
    library: Annotated[Path, typer.Option("--library", help="Folder for the library, header, weights and an example main.c.")],
) -> None:
    """Write a compiled network as a shared library for C programs."""
    from lowbit.runtime import load

    folder = load(artifact).export_library(library)
    for path in sorted(folder.iterdir()):
        results().print(f"{path}: {path.stat().st_size:,} bytes")
