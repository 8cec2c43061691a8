"""``lowbit export``: an artifact -> a program, files for a C or C++ program, or an ONNX model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowbit.cli.console import note, results
from lowbit.cli.files import read_array
from lowbit.files import check_writable, write_whole

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["command"]


def command(
    artifact: Annotated[Path, typer.Argument(help="NAME.lowbit")],
    executable: Annotated[
        Path | None, typer.Option("--executable", help="Static program that runs the network on files.")
    ] = None,
    library: Annotated[
        Path | None, typer.Option("--library", help="Folder for .so, .a, header, weights, example main.c.")
    ] = None,
    bare_metal: Annotated[
        tuple[str, Path] | None,
        typer.Option("--bare-metal", metavar="BOARD ELF", help="Program without an operating system: raspi3b, raspi4b or virt."),
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option("--onnx", help="ONNX model: QDQ with the narrowest types; needs the package onnx.")
    ] = None,
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", help="With --bare-metal: .npy of an input inside the program; default: random."),
    ] = None,
    strip: Annotated[bool, typer.Option("--strip", help="Leave the symbols out of the program; profilers need them.")] = False,
    expect: Annotated[str | None, typer.Option(help="BLAKE2b-256 that the artifact must have (b2sum -l 256).")] = None,
) -> None:
    """Write a compiled network as a program, as a library for C and C++ programs, or as an ONNX model."""
    from lowbit.errors import ConfigError, ToolMissing
    from lowbit.export.library import export_executable, export_static_library
    from lowbit.runtime import load

    if executable is None and library is None and bare_metal is None and onnx is None:
        raise ConfigError("say what to write: --executable FILE, --library FOLDER, --onnx FILE or --bare-metal BOARD ELF")
    for path in (executable, onnx, bare_metal[1] if bare_metal else None):
        if path is not None:
            check_writable(path)
    network = load(artifact, expect=expect)
    if library is not None:
        network.export_library(library)
        try:
            if not network.target.arch:
                export_static_library(network, library)
        except ToolMissing as error:
            note(f"note: no static library: {error}")
        for path in sorted(library.iterdir()):
            results().print(f"{path}: {path.stat().st_size:,} bytes")
    if executable is not None:
        export_executable(network, executable, strip=strip)
        results().print(f"{executable}: {executable.stat().st_size:,} bytes, for {network.manifest['target']['name']}")
    if onnx is not None:
        network.export_onnx(onnx)
        results().print(f"{onnx}: {onnx.stat().st_size:,} bytes")
    if bare_metal is not None:
        _bare(network, *bare_metal, inputs or [])


def _bare(network: Compiled, board: str, path: Path, inputs: list[Path]) -> None:
    from lowbit.emulate.bare import bare_command, make_bare
    from lowbit.emulate.user import random_inputs, target_of
    from lowbit.errors import ToolMissing

    values = [read_array(file) for file in inputs] or list(random_inputs(network))
    write_whole(path, make_bare(network, board, values), executable=True)
    results().print(f"{path}: {path.stat().st_size:,} bytes, for {board} without an operating system")
    try:
        command = bare_command(board, target_of(network), path)
    except ToolMissing as error:
        note(f"note: {error}")
    else:
        results().print(f"run it: {shlex.join(command)}", soft_wrap=True)
