"""The command line: one file per verb."""

from lowbit.cli.app import app, main

__all__ = ["app", "main"]
