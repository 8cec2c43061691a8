"""The machine we are on."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lowbit.targets.table import Target

__all__ = ["Cpu", "cpu_model", "denied", "host_cpu", "host_features", "host_machine", "obstacle"]

# /proc/cpuinfo's name -> LLVM's name, where they differ
_LLVM_NAME = {
    "pni": "sse3",
    "sse4_1": "sse4.1",
    "sse4_2": "sse4.2",
    "avx_vnni": "avxvnni",
    "avx512_vnni": "avx512vnni",
    "avx512_vbmi2": "avx512vbmi2",
    "avx512_bitalg": "avx512bitalg",
    "avx512_vpopcntdq": "avx512vpopcntdq",
    "amx_tile": "amx-tile",
    "amx_int8": "amx-int8",
    "amx_bf16": "amx-bf16",
    "asimd": "neon",
    "asimddp": "dotprod",
    "atomics": "lse",
}


@cache
def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


@dataclass(frozen=True)
class Cpu:
    """A kind of CPU by the numbers it reports itself: x86's vendor, family and model; ARM's implementer, architecture
    and part."""

    vendor: str
    family: int
    model: int

    @property
    def name(self) -> str:
        """``amd-25-17``, ``intel-6-207``."""
        vendor = re.sub(r"^(genuine|authentic)|[^a-z0-9]+", "", self.vendor.lower())
        return f"{vendor}-{self.family}-{self.model}"

    def distance(self, other: Cpu) -> tuple[bool, int, int]:
        """Smaller is nearer: vendor before family before model."""
        return self.vendor != other.vendor, abs(self.family - other.family), abs(self.model - other.model)


def host_cpu() -> Cpu | None:
    """This machine's; None where it does not say."""
    info = _cpuinfo()
    for vendor, family, model in (("vendor_id", "cpu family", "model"), ("CPU implementer", "CPU architecture", "CPU part")):
        try:
            return Cpu(info[vendor], int(info[family], 0), int(info[model], 0))
        except (KeyError, ValueError):
            continue
    return None


def host_machine() -> str:
    """``x86_64``, ``aarch64``, ..."""
    return platform.machine()


@cache
def host_features() -> frozenset[str]:
    """CPU features by LLVM's names, as the kernel reports them."""
    info = _cpuinfo()
    flags = (info.get("flags") or info.get("Features") or "").split()
    return frozenset(_LLVM_NAME.get(f, f) for f in flags)


def obstacle(target: Target) -> str:
    """Why this CPU cannot run code for ``target``: the end of a sentence that begins with its name, "" = it can."""
    if target.machine != host_machine():
        return f", which is no {host_machine()} machine"
    missing = sorted(target.features - host_features())
    return f"; this CPU lacks {', '.join(missing)}" if missing else denied(target)


_TILES = "amx-tile"
_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _TILE_DATA = 158, 0x1023, 18  # of Linux on x86-64


def denied(target: Target) -> str:
    """Why the system does not let this process use what its CPU has, as :func:`obstacle` says it; "" = it does.

    Linux gives the registers of AMX's tiles to processes that ask (arch_prctl, ARCH_REQ_XCOMP_PERM; threads and children
    inherit it), and refuses where an alternate signal stack is too small for them."""
    if _TILES not in target.features:
        return ""
    error = _tile_permission()
    return f"; the system does not let this process use amx-tile (arch_prctl: {os.strerror(error)})" if error else ""


@cache
def _tile_permission() -> int:
    """0, or errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype, libc.syscall.argtypes = ctypes.c_long, [ctypes.c_long] * 3
    return 0 if libc.syscall(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _TILE_DATA) == 0 else ctypes.get_errno()


def cpu_model() -> str:
    """What the machine calls itself; ARM boards have a name where x86 CPUs have one."""
    return _cpuinfo().get("model name") or _board() or platform.processor() or "unknown"


def _board() -> str:
    try:
        return Path("/proc/device-tree/model").read_text().strip("\0\n ")
    except OSError:
        return ""
