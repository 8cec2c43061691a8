"""NVIDIA's GPUs: TVM prints CUDA C, NVRTC makes machine code of it, a C compiler links that with tables and the runtime.

Compiling needs no GPU and no CUDA toolkit; running needs NVIDIA's driver alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lowbit.backend.cuda.network import CudaNetwork
from lowbit.targets.gpu import gpu_obstacle

if TYPE_CHECKING:
    from lowbit.backend.protocol import Backend, FilePart
    from lowbit.kernels.spec import KernelSpec
    from lowbit.lowering.program import Program
    from lowbit.targets import Target

__all__ = ["CUDA"]


class _Cuda:
    """See ``Backend``.  What compiles is imported when it is asked to: loading a network needs numpy and the driver."""

    def tools(self, target: Target) -> dict[str, str]:
        from lowbit.backend.cuda.nvrtc import nvrtc_version
        from lowbit.backend.toolchain import compiler_for
        from lowbit.targets.host import host_machine

        return {"cc": compiler_for(host_machine()).version, "nvrtc": nvrtc_version()}

    def obstacle(self, target: Target) -> str:
        return gpu_obstacle(target)

    def compile(
        self, specs: Iterable[KernelSpec], target: Target, progress: Callable[[KernelSpec, bool], None] | None = None
    ) -> dict[KernelSpec, bytes]:
        from lowbit.backend.cuda.object import compile_cuda_kernels

        return compile_cuda_kernels(specs, target, progress)

    def link(self, program: Program, kernels: Mapping[KernelSpec, bytes], target: Target) -> dict[str, bytes]:
        from lowbit.backend.build import weights_file
        from lowbit.backend.cuda.build import build_cuda_library
        from lowbit.backend.cuda.tables import cuda_header
        from lowbit.backend.driver import prefix_of

        return {
            "library.so": build_cuda_library(program, kernels, target),
            "weights.bin": weights_file(program),
            "lowbit_network.h": cuda_header(program, prefix_of(program.name)).encode(),
        }

    def open(
        self, sections: Mapping[str, bytes | memoryview], weights: bytes | FilePart, threads: int | None, **chosen: Any
    ) -> CudaNetwork:
        return CudaNetwork(sections["library.so"], weights, threads, **chosen)


CUDA: Backend = _Cuda()
