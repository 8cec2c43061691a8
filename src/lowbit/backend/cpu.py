"""CPUs: TVM and LLVM make kernels, a C compiler links them with tables and the C runtime to a shared library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lowbit.backend.native import NativeNetwork
from lowbit.targets.host import obstacle

if TYPE_CHECKING:
    from lowbit.backend.protocol import Backend, FilePart
    from lowbit.kernels.spec import KernelSpec
    from lowbit.lowering.program import Program
    from lowbit.targets import Target

__all__ = ["CPU"]


class _Cpu:
    """See ``Backend``.  What compiles is imported when it is asked to: loading a network needs numpy alone."""

    def tools(self, target: Target) -> dict[str, str]:
        from lowbit.backend.toolchain import find_compiler

        return {"cc": find_compiler(target).version}

    def obstacle(self, target: Target) -> str:
        return obstacle(target)

    def compile(
        self, specs: Iterable[KernelSpec], target: Target, progress: Callable[[KernelSpec, bool], None] | None = None
    ) -> dict[KernelSpec, bytes]:
        from lowbit.backend.cache import compile_kernels

        return compile_kernels(specs, target, progress)

    def link(self, program: Program, kernels: Mapping[KernelSpec, bytes], target: Target) -> dict[str, bytes]:
        from lowbit.backend.build import build_library, weights_file
        from lowbit.backend.driver import network_header, prefix_of

        return {
            "library.so": build_library(program, kernels, target),
            "weights.bin": weights_file(program),
            "lowbit_network.h": network_header(program, prefix_of(program.name)).encode(),
        }

    def open(
        self, sections: Mapping[str, bytes | memoryview], weights: bytes | FilePart, threads: int | None, **chosen: Any
    ) -> NativeNetwork:
        return NativeNetwork(sections["library.so"], weights, threads)


CPU: Backend = _Cpu()
