"""Kernels + tables + runtime = one shared library; weights beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lowbit.backend.driver import API, driver_source, identity, prefix_of
from lowbit.backend.runtime_object import RUNTIME_FOLDER, emulation_object, runtime_object
from lowbit.backend.toolchain import C_FLAGS, Compiler, find_compiler, find_objcopy
from lowbit.backend.weight_file import write_weight_file
from lowbit.errors import LowbitError
from lowbit.files import scratch_folder
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering.program import Program
from lowbit.targets import Target

__all__ = ["LINK", "build_library", "build_object", "lay_out", "weights_file"]

# The symbol table stays (kernels are read and profiled by name); debug information does not.
_LINKER = ("--gc-sections", "-z,noexecstack", "-z,relro", "-z,now", "-z,defs", "--build-id=none")
LINK = ("-shared", "-pthread", *(f"-Wl,{option}" for option in _LINKER))


def lay_out(
    program: Program, kernels: Mapping[KernelSpec, bytes], target: Target, prefix: str, compiler: Compiler, folder: Path
) -> list[str]:
    """Compile the tables and lay all objects out in ``folder``; returns their names."""
    missing = [spec.symbol(target.name) for spec in program.specs if spec not in kernels]
    if missing:
        raise LowbitError(f"{program.name}: no object for the kernels {', '.join(missing)}")
    (folder / "network.c").write_text(driver_source(program, target, prefix))
    compiler.run([*C_FLAGS, f"-I{RUNTIME_FOLDER}", "-c", "network.c", "-o", "network.o"], folder)
    (folder / "runtime.o").write_bytes(runtime_object(compiler, target))
    names = ["network.o", "runtime.o"]
    if target.emulated:
        names.append("emulated.o")
        (folder / names[-1]).write_bytes(emulation_object(compiler, target))
    for i, spec in enumerate(program.specs):
        names.append(f"kernel{i}.o")
        (folder / names[-1]).write_bytes(kernels[spec])
    return names


def build_library(
    program: Program, kernel_objects: Mapping[KernelSpec, bytes], target: Target, prefix: str | None = None
) -> bytes:
    """The shared library (ELF) of a network.  It exports ``<prefix>_*`` of lowbit.h and
    ``lowbit_prefix``, a string; prefix: the network's name as an identifier.

    Raises ToolMissing without a C compiler, LowbitError with the compiler's words if it fails.
    """
    compiler = find_compiler(target)
    prefix = prefix or prefix_of(program.name)
    with scratch_folder() as folder:
        objects = lay_out(program, kernel_objects, target, prefix, compiler, folder)
        exports = "".join(f" {prefix}_{name};" for name in API)
        (folder / "exports.map").write_text(f"{{ global:{exports} lowbit_prefix; local: *; }};\n")
        script = "-Wl,--version-script=exports.map"
        compiler.run([*LINK, *compiler.strip_debug, script, "-o", "library.so", *objects, "-lm"], folder)
        return (folder / "library.so").read_bytes()


def build_object(
    program: Program, kernel_objects: Mapping[KernelSpec, bytes], target: Target, prefix: str | None = None
) -> bytes:
    """One relocatable object whose only global symbols are ``<prefix>_*``: for static programs, also of
    several networks.  Link with ``-pthread -lm``.  Raises as build_library, and ToolMissing without objcopy."""
    compiler, objcopy = find_compiler(target), find_objcopy(target)
    prefix = prefix or prefix_of(program.name)
    with scratch_folder() as folder:
        objects = lay_out(program, kernel_objects, target, prefix, compiler, folder)
        compiler.run(["-r", "-nostdlib", "-o", "whole.o", *objects], folder)
        keep = [f"--keep-global-symbol={prefix}_{name}" for name in API]
        Compiler((objcopy,), "").run([*keep, "--strip-debug", "whole.o", "object.o"], folder)
        return (folder / "object.o").read_bytes()


def weights_file(program: Program) -> bytes:
    """The weight file that libraries of ``program`` read; the same for all targets.  Raises NumericsError
    (layer, range) for weights outside their type."""
    return write_weight_file(program, identity(program))
