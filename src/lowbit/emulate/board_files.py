"""What emulating a whole board needs besides QEMU's user mode: fetched by ``lowbit setup board``, found here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lowbit.emulate.tools import qemu_version
from lowbit.errors import ToolMissing
from lowbit.files import cache_folder

__all__ = ["FETCHED_QEMU", "LEAST_QEMU", "SETUP", "board_folder", "find_kernel", "find_system_qemu"]

LEAST_QEMU = 9  # the first with the Raspberry Pi 4
SETUP = "lowbit setup board"
FETCHED_QEMU = "qemu/qemu-system-aarch64"  # a script that finds its libraries and firmware beside itself


def board_folder() -> Path:
    """Where ``lowbit setup board`` puts everything: ``$LOWBIT_BOARD``, else ``board`` in the cache folder."""
    own = os.environ.get("LOWBIT_BOARD")
    return Path(own) if own else cache_folder() / "board"


def find_system_qemu() -> str:
    """``qemu-system-aarch64``: the one that was fetched, else the installed one if it is new enough.  Raises ToolMissing."""
    fetched = board_folder() / FETCHED_QEMU
    if fetched.exists():
        return str(fetched)
    installed = shutil.which("qemu-system-aarch64")
    if installed and qemu_version(installed)[0] >= LEAST_QEMU:
        return installed
    have = f"{installed} is version {'.'.join(map(str, qemu_version(installed)))}" if installed else "it is not installed"
    raise ToolMissing(f"qemu-system-aarch64 of version {LEAST_QEMU} or newer emulates the board; {have}: {SETUP}")


def find_kernel(dtb: str = "") -> tuple[Path, Path | None]:
    """The Linux kernel and, where the board needs one, its device tree.  Raises ToolMissing."""
    folder = board_folder() / "kernel"
    kernel, tree = folder / "vmlinuz", folder / dtb if dtb else None
    if not kernel.exists() or (tree is not None and not tree.exists()):
        raise ToolMissing(f"a Linux kernel for the board is not there: {SETUP}")
    return kernel, tree
