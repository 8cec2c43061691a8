"""The ``lowbit`` command: a table of verbs, and one place where errors become one line."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from lowbit.cli.console import note
from lowbit.errors import LowbitError

__all__ = ["VERBS", "app", "main"]

# verb -> module of lowbit.cli whose function `command` it is
VERBS = {
    "compile": "lowbit.cli.compile",
    "tune": "lowbit.cli.tune",
    "run": "lowbit.cli.run",
    "export": "lowbit.cli.export",
    "emulate": "lowbit.cli.emulate",
    "setup": "lowbit.cli.setup",
    "bench": "lowbit.cli.bench",
    "eval": "lowbit.cli.eval",
    "analyze": "lowbit.cli.analyze",
    "search": "lowbit.cli.search",
    "pareto": "lowbit.cli.pareto",
    "compare-strategies": "lowbit.cli.compare_strategies",
    "inspect": "lowbit.cli.inspect",
    "diff": "lowbit.cli.diff",
    "profile": "lowbit.cli.profile",
    "targets": "lowbit.cli.targets",
    "info": "lowbit.cli.info",
}


class Verbs(TyperGroup):
    """Errors lowbit raises on purpose are one line on standard error and exit status 2; never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LowbitError as error:
            note(f"{type(error).__name__}: {' '.join(str(error).split())}")
            raise typer.Exit(2) from None
        except BrokenPipeError:  # `lowbit inspect ... | head`
            sys.stderr.close()
            raise typer.Exit(0) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            note(f"{type(error).__name__}: {where}{error.strerror or error}")
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            note("interrupted; files that were not finished are not there")
            raise typer.Exit(130) from None


app = typer.Typer(
    name="lowbit",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Compile PyTorch networks to n-bit integer networks with generated kernels; time, read and check them.",
)
for _verb, _module in VERBS.items():
    app.command(_verb)(import_module(_module).command)


@app.callback(invoke_without_command=True)
def _options(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from lowbit.version import __version__

        print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the ``lowbit`` program."""
    app()
