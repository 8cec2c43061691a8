"""The texts of a kernel, generated again from its spec: the same generator, so the same code."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lowbit.errors import ToolMissing
from lowbit.kernels.spec import KernelSpec
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.backend.codegen import Generated
    from lowbit.backend.cuda.text import CudaText

__all__ = ["GPU_STAGES", "KERNEL_STAGES", "can_generate", "gpu_text", "kernel_text", "object_sha256"]

# stage -> (attribute of Generated, file ending)
KERNEL_STAGES = {"tensorir": ("tir", ".tir.py"), "llvm": ("llvm", ".ll"), "asm": ("asm", ".s")}

# the same of kernels for GPUs, whose objects hold their texts
GPU_STAGES = {"tensorir": ".tir.py", "cuda": ".cu", "ptx": ".ptx", "sass": ".sass"}


def can_generate() -> bool:
    """Whether TVM is installed."""
    return find_spec("tvm") is not None


@cache
def _generated(spec: KernelSpec, target: Target) -> Generated:
    if not can_generate():
        raise ToolMissing("a kernel's texts are generated from its spec by TVM; pip install lowbit (with apache-tvm)")
    from lowbit.backend.codegen import generate

    return generate(spec, target)


def kernel_text(spec: KernelSpec, target: Target, stage: str) -> str:
    """``stage`` of KERNEL_STAGES, of a GPU only TensorIR.  Raises ToolMissing without TVM."""
    if target.arch:
        return gpu_text(spec, target).tir
    return str(getattr(_generated(spec, target), KERNEL_STAGES[stage][0]))


@cache
def gpu_text(spec: KernelSpec, target: Target) -> CudaText:
    """The CUDA text of ``spec``, printed again.  Raises ToolMissing without TVM."""
    if not can_generate():
        raise ToolMissing("a kernel's texts are generated from its spec by TVM; pip install lowbit (with apache-tvm)")
    from lowbit.backend.cuda.text import cuda_text

    return cuda_text(spec, target)


def object_sha256(spec: KernelSpec, target: Target) -> str:
    """SHA-256 of the kernel's object file, as the manifest records it."""
    return hashlib.sha256(_generated(spec, target).object).hexdigest()
