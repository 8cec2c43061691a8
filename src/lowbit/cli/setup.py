"""``lowbit setup``: fetch what some verb needs and the system does not have."""

from __future__ import annotations

from typing import Annotated

import typer

from lowbit.cli.console import note, results

__all__ = ["command"]


def command(what: Annotated[str, typer.Argument(help="board: QEMU and a Linux kernel for `lowbit emulate --board`.")]) -> None:
    """Fetch what emulating a whole board needs into lowbit's cache folder; the system stays as it is."""
    from lowbit.emulate.fetch import setup_board
    from lowbit.errors import ConfigError

    if what != "board":
        raise ConfigError(f"unknown {what!r}; what can be set up: board")
    folder = setup_board(note)
    results().print(str(folder))
