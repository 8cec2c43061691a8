"""The C compiler: found, or asked for by name; objects and libraries made with it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lowbit.errors import LowbitError, ToolMissing
from lowbit.files import no_room, unwritable
from lowbit.targets import Target
from lowbit.targets.host import host_machine

__all__ = ["C_FLAGS", "Compiler", "compiler_for", "find_ar", "find_compiler", "find_objcopy"]

# No float contraction: a fused multiply-add would round once where the arithmetic of the network rounds twice.
C_FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-pthread")

_INSTALL = {
    "x86_64": "apt-get install gcc",
    "aarch64": "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross, or pip install ziglang",
}


@dataclass(frozen=True)
class Compiler:
    """A command that compiles and links C for one machine, e.g. ``("gcc",)``, and what it says it is."""

    command: tuple[str, ...]
    version: str

    @property
    def strip_debug(self) -> tuple[str, ...]:
        """Linker options that leave debug information out and keep the symbols; zig would strip those, too."""
        return () if "ziglang" in self.command else ("-Wl,--strip-debug",)

    def run(self, arguments: Sequence[str | Path], folder: Path) -> None:
        """Run in ``folder``.  Raises LowbitError with the command and the compiler's own words, or saying that
        ``folder`` is full."""
        command = [*self.command, *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
        if done.returncode:
            if "No space left on device" in done.stderr:
                raise no_room(folder, "No space left on device")
            if problem := unwritable(folder):
                raise problem
            said = "\n".join(done.stderr.strip().splitlines()[:20])
            raise LowbitError(f"the C compiler failed (exit {done.returncode}): {shlex.join(command)}\n{said}")


@cache
def _version(command: tuple[str, ...]) -> str | None:
    """First line of ``--version``; None if the command does not run."""
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else None


def _candidates(machine: str, static: bool) -> list[tuple[str, ...]]:
    if machine == host_machine():
        return [("cc",), ("gcc",), ("clang",)]
    # zig links static programs with musl only; its checks for undefined behaviour need a runtime we do not link
    zig = (
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        f"{machine}-linux-{'musl' if static else 'gnu'}",
        "-fno-sanitize=undefined",
    )
    return [(f"{machine}-linux-gnu-gcc",), *([zig] if find_spec("ziglang") else [])]


def find_compiler(target: Target, static: bool = False) -> Compiler:
    """:func:`compiler_for` the architecture of ``target``."""
    return compiler_for(target.machine, static)


def compiler_for(machine: str, static: bool = False) -> Compiler:
    """The first that runs of ``$CC`` (for the host's own architecture) or ``$CC_<ARCH>``, cc, gcc, clang;
    for another architecture ``<arch>-linux-gnu-gcc`` or zig.  ``static``: to link a program without shared libraries.

    Raises ToolMissing with the line that installs one.
    """
    variable = "CC" if machine == host_machine() else f"CC_{machine.upper()}"
    named = os.environ.get(variable, "").strip()
    if named:
        command = tuple(shlex.split(named))
        version = _version(command)
        if version is None:
            raise ToolMissing(f"{variable}={named} does not run; unset it or name a C compiler, e.g. {variable}=gcc")
        return Compiler(command, version)
    tried = _candidates(machine, static)
    for command in tried:
        if version := _version(command):
            return Compiler(command, version)
    install = _INSTALL.get(machine, f"install gcc for {machine}")
    names = ", ".join(command[0] for command in tried)
    raise ToolMissing(f"a C compiler for {machine} links the network and none is installed (tried {names}): {install}")


def find_objcopy(target: Target) -> str:
    """``objcopy`` for the target's architecture.  Raises ToolMissing."""
    return _find_binutil("objcopy", target.machine)


def find_ar(target: Target) -> str:
    """``ar`` for the target's architecture.  Raises ToolMissing."""
    return _find_binutil("ar", target.machine)


def _find_binutil(tool: str, machine: str) -> str:
    here = machine == host_machine()
    names = [*([tool] if here else []), f"{machine}-linux-gnu-{tool}", f"llvm-{tool}"]
    for name in names:
        if path := shutil.which(name):
            return path
    package = "binutils" if here else f"binutils-{machine.replace('_', '-')}-linux-gnu"
    raise ToolMissing(
        f"{tool} for {machine} is needed for a static library (tried {', '.join(names)}): apt-get install {package}"
    )
