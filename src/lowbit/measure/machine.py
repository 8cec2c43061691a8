"""Where a figure was taken: without this a benchmark is a rumour."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from lowbit.targets.host import cpu_model, host_features, host_machine
from lowbit.version import __version__

__all__ = ["TOOLS", "VERSIONED", "commit", "cpu_features", "file_name", "find_tools", "machine", "versions"]

# distributions whose version may move a figure
VERSIONED = ("numpy", "torch", "apache-tvm", "apache-tvm-ffi", "nvidia-cuda-nvrtc", "onnxruntime", "openvino")

# program -> what it is for, and how to get it
TOOLS = {
    "gcc": ("builds the C runtime and links the artifact", "apt-get install gcc libc6-dev"),
    "objdump": ("reads the machine code back for inspect and --verify", "apt-get install binutils"),
    "aarch64-linux-gnu-gcc": ("links for the Raspberry Pi", "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    "qemu-aarch64": ("runs them here, for emulate and bench", "apt-get install qemu-user"),
}


def machine() -> str:
    """CPU model, cores this process may use, architecture and kernel: one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cpu_model()}, {cores} cores, {host_machine()}, {platform.system()} {platform.release()}"


def file_name() -> str:
    """:func:`machine` without its kernel, as a name for files: lower case, words joined by "-"."""
    return re.sub(r"[^a-z0-9]+", "-", machine().rpartition(", ")[0].lower()).strip("-")


def cpu_features() -> list[str]:
    """Sorted CPU features by LLVM's names."""
    return sorted(host_features())


def versions() -> dict[str, str]:
    """lowbit, Python and every installed distribution of VERSIONED."""
    found = {"lowbit": __version__, "python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Commit of the source tree lowbit runs from, ``-dirty`` when it has changes; "" outside a checkout."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return ""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("-dirty" if dirty else "")


def find_tools() -> dict[str, str | None]:
    """Program -> where it is, or None."""
    return {name: shutil.which(name) for name in TOOLS}
