"""Kernels + tables + runtime of a network on a GPU = one shared library for the CPU that drives it."""

from __future__ import annotations

from collections.abc import Mapping

from lowbit.backend.build import LINK
from lowbit.backend.cuda.object import read_object
from lowbit.backend.cuda.tables import CUDA_API, cuda_source, kernel_files
from lowbit.backend.driver import API, prefix_of
from lowbit.backend.runtime_object import RUNTIME_FOLDER, runtime_object
from lowbit.backend.toolchain import C_FLAGS, compiler_for
from lowbit.errors import LowbitError
from lowbit.files import scratch_folder
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering.program import Program
from lowbit.targets import Target
from lowbit.targets.host import host_machine

__all__ = ["build_cuda_library"]


def build_cuda_library(program: Program, kernels: Mapping[KernelSpec, bytes], target: Target, prefix: str | None = None) -> bytes:
    """As ``build.build_library``; the library opens the driver when a network is opened, and needs nothing of NVIDIA's to be
    linked.

    Raises ToolMissing without a C compiler, LowbitError with the compiler's words if it fails."""
    missing = [spec.symbol(target.name) for spec in program.specs if spec not in kernels]
    if missing:
        raise LowbitError(f"{program.name}: no object for the kernels {', '.join(missing)}")
    compiler = compiler_for(host_machine())
    prefix = prefix or prefix_of(program.name)
    objects = {spec: read_object(kernels[spec]) for spec in program.specs}
    with scratch_folder() as folder:
        for name, data in kernel_files(objects).items():
            (folder / name).write_bytes(data)
        (folder / "network.c").write_text(cuda_source(program, objects, target, prefix))
        compiler.run([*C_FLAGS, f"-I{RUNTIME_FOLDER}", "-c", "network.c", "-o", "network.o"], folder)
        (folder / "runtime.o").write_bytes(runtime_object(compiler, target))
        exports = "".join(f" {prefix}_{name};" for name in (*API, *CUDA_API))
        (folder / "exports.map").write_text(f"{{ global:{exports} lowbit_prefix; local: *; }};\n")
        script = "-Wl,--version-script=exports.map"
        compiler.run([*LINK, *compiler.strip_debug, script, "-o", "library.so", "network.o", "runtime.o", "-lm", "-ldl"], folder)
        return (folder / "library.so").read_bytes()
