"""``lowbit diff``: what differs between two compiled networks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import results

__all__ = ["command"]


def command(
    a: Annotated[Path, typer.Argument(help="NAME.lowbit")],
    b: Annotated[Path, typer.Argument(help="NAME.lowbit")],
    stage: Annotated[str | None, typer.Option(help="Stage to compare: graph, quantized, program, tensorir, llvm, asm.")] = None,
    layer: Annotated[str, typer.Option(help="Only this layer; a glob may name several.")] = "",
) -> None:
    """Compare two artifacts: layer by layer, or one stage's text as a unified diff."""
    from lowbit.reporting.diff import diff_stage, diff_table
    from lowbit.runtime import load

    left, right = load(a), load(b)
    if stage is None:
        results().print(diff_table(left, right, layer))
    else:
        sys.stdout.write(diff_stage(left, right, stage, (str(a), str(b)), layer))
