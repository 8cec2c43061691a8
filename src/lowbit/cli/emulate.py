"""``lowbit emulate``: a network compiled for another machine, run here under QEMU."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import note, results
from lowbit.cli.files import read_array, write_array, write_json
from lowbit.files import check_writable

__all__ = ["command"]


def command(
    artifact: Annotated[Path, typer.Argument(help="NAME.lowbit, compiled for an AArch64 target such as raspberry-pi-4.")],
    inputs: Annotated[
        list[Path] | None, typer.Option("--input", help=".npy of an input, float32; repeatable. Default: random.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help=".npy file to write the (first) output to.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs, after one that is not timed.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the timed runs.")] = 1,
    board: Annotated[
        str, typer.Option(help="A whole board with Linux: raspi3b, raspi4b or virt; see `lowbit setup board`.")
    ] = "",
    cpu: Annotated[str, typer.Option(help="Another CPU than the target's, by QEMU's name: cortex-a53, cortex-a72, ...")] = "",
    count: Annotated[bool, typer.Option("--count/--no-count", help="Count instructions, estimate cycles.")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds QEMU may take.")] = 1200,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Run a network for a Raspberry Pi here: output, check against the oracle, instructions, estimated and emulated time."""
    from lowbit.emulate.board import emulate_board
    from lowbit.emulate.table import emulation_table, summary
    from lowbit.emulate.user import emulate_user, random_inputs
    from lowbit.errors import ConfigError
    from lowbit.runtime import load

    for path in (output, json):
        if path is not None:
            check_writable(path)
    network = load(artifact)
    if not inputs:
        note("note: no --input: a random input stands in")
    values = [read_array(path) for path in inputs] if inputs else list(random_inputs(network))
    if board:
        if cpu:
            raise ConfigError("give either --board, which has its CPU, or --cpu")
        done = emulate_board(network, values, board, runs=runs, threads=threads, timeout=timeout)
    else:
        done = emulate_user(network, values, runs=runs, threads=threads, cpu=cpu, count=count, timeout=timeout)
    results().print(emulation_table(network.name, done))
    for line in summary(done):
        results().print(line)
    if output is not None:
        write_array(output, done.outputs[0])
    if json is not None:
        write_json(json, done.to_json())
    if done.verdict.exact is False:
        raise typer.Exit(1)
