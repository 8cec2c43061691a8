"""NVIDIA's GPUs: TVM prints CUDA C, NVRTC makes machine code of it, a C compiler links that with tables and the runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from lowbit.errors import ToolMissing

if TYPE_CHECKING:
    from lowbit.backend.protocol import Backend, FilePart, OpenNetwork
    from lowbit.kernels.spec import KernelSpec
    from lowbit.lowering.program import Program
    from lowbit.targets import Target

__all__ = ["CUDA"]


class _Cuda:
    """See ``Backend``."""

    def tools(self, target: Target) -> dict[str, str]:
        raise ToolMissing(f"{target.name}: this version of lowbit knows GPUs but cannot make networks for them yet")

    def obstacle(self, target: Target) -> str:
        return ", a GPU; this version of lowbit cannot run networks there yet"

    def compile(
        self, specs: Iterable[KernelSpec], target: Target, progress: Callable[[KernelSpec, bool], None] | None = None
    ) -> dict[KernelSpec, bytes]:
        raise ToolMissing(f"{target.name}: this version of lowbit cannot compile kernels for GPUs yet")

    def link(self, program: Program, kernels: Mapping[KernelSpec, bytes], target: Target) -> dict[str, bytes]:
        raise ToolMissing(f"{target.name}: this version of lowbit cannot link networks for GPUs yet")

    def open(self, sections: Mapping[str, bytes | memoryview], weights: bytes | FilePart, threads: int | None) -> OpenNetwork:
        raise ToolMissing("this version of lowbit cannot open networks for GPUs yet")


CUDA: Backend = _Cuda()
