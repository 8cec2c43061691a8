"""Run Python or the command line in a process of its own, with an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["CLI", "environment", "finish", "start"]

ROOT = Path(__file__).resolve().parents[2]
CLI = ("-c", "import sys; from lowbit.cli import main; sys.exit(main())")
"""Arguments of Python that are the command line."""


def environment(**changes: object) -> dict[str, str]:
    """This process's, where lowbit and the tests are found; ``changes`` of None remove a variable."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    merged = {**os.environ, "PYTHONPATH": path, **{name: str(value) for name, value in changes.items()}}
    return {name: value for name, value in merged.items() if name not in changes or changes[name] is not None}


def start(*arguments: object, **changes: object) -> subprocess.Popen[str]:
    """Python with these arguments; ``changes`` to the environment."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)."""
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err
