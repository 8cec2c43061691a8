"""``lowbit run``: an artifact on an input; needs numpy alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import results
from lowbit.cli.files import read_array, write_array
from lowbit.files import check_writable

__all__ = ["command"]


def command(
    artifact: Annotated[Path, typer.Argument(help="NAME.lowbit")],
    inputs: Annotated[list[Path], typer.Argument(help=".npy (or .npz) file of each input, float32.")],
    output: Annotated[Path, typer.Option("--output", "-o", help=".npy file to write; several outputs: NAME-1.npy, NAME-2.npy")],
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    expect: Annotated[str | None, typer.Option(help="BLAKE2b-256 that the artifact must have (b2sum -l 256).")] = None,
) -> None:
    """Run a compiled network on .npy files."""
    from lowbit.runtime import load

    check_writable(output)
    values = [read_array(path) for path in inputs]
    outputs = load(artifact, threads=threads, expect=expect).outputs(*values)
    for index, array in enumerate(outputs):
        path = output if len(outputs) == 1 else output.with_stem(f"{output.stem}-{index + 1}")
        write_array(path, array)
        results().print(f"{path}: {'x'.join(map(str, array.shape))} {array.dtype}")
