"""The programs emulation needs: found, or named together with the line that installs them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from lowbit.errors import LowbitError, ToolMissing

__all__ = ["LEAST_LLVM", "Finished", "find_llvm", "find_qemu_user", "qemu_version", "run"]

LEAST_LLVM = 17  # older ones model the Neoverse N1, which stands for the Cortex-A76, as a Cortex-A57
Finished = subprocess.CompletedProcess[str]


@cache
def _path(name: str) -> str | None:
    return shutil.which(name)


def find_qemu_user(machine: str) -> str:
    """QEMU's user mode emulator for ``machine``, the dynamic one first: only it counts instructions.

    Raises ToolMissing with the line that installs it."""
    for name in (f"qemu-{machine}", f"qemu-{machine}-static"):
        if path := _path(name):
            return path
    raise ToolMissing(f"QEMU runs {machine} programs here and is not installed: apt-get install qemu-user")


@cache
def qemu_version(path: str) -> tuple[int, int]:
    """(7, 2) for QEMU 7.2.  Raises ToolMissing if it does not run."""
    try:
        text = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        text = ""
    found = re.search(r"version (\d+)\.(\d+)", text)
    if found is None:
        raise ToolMissing(f"{path} --version does not name a version of QEMU")
    return int(found[1]), int(found[2])


@cache
def find_llvm(name: str) -> str | None:
    """``llvm-mca`` or ``llvm-mc`` of the newest LLVM installed; None without one of LEAST_LLVM or newer."""
    found = {}
    for path in [*Path("/usr/bin").glob(f"{name}-[1-9]*"), *([Path(plain)] if (plain := _path(name)) else [])]:
        version = path.name.removeprefix(f"{name}-")
        major = int(version) if version.isdigit() else _llvm_major(path)
        if major >= LEAST_LLVM:
            found[major] = str(path)
    return found[max(found)] if found else None


def _llvm_major(path: Path) -> int:
    try:
        text = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r"LLVM version (\d+)", text)
    return int(version[1]) if version else 0


def run(command: Sequence[str | Path], timeout: float, env: dict[str, str] | None = None, folder: Path | None = None) -> Finished:
    """Run to its end.  Raises LowbitError when ``timeout`` seconds have passed; the process is gone then."""
    try:
        return subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, errors="replace", timeout=timeout, env=env,
            cwd=folder, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise LowbitError(f"{Path(command[0]).name} did not end within {timeout:g} s; give it longer with --timeout") from None
    except OSError as error:
        raise LowbitError(f"{command[0]} cannot be run: {error.strerror}") from None
