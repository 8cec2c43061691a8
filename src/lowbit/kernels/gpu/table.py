"""The table of kernels made for GPUs: kind -> ``module:function``, (spec, target) -> PrimFunc with its threads.

A form of convolutions with a builder of its own for GPUs is not here: its builder gives a PrimFunc with threads."""

from __future__ import annotations

from typing import Any

from lowbit.errors import UnsupportedOperation
from lowbit.kernels.named import named
from lowbit.kernels.spec import KernelSpec
from lowbit.kernels.table import KERNELS
from lowbit.targets import Target

__all__ = ["GPU_KERNELS", "gpu_function"]

GPU_KERNELS: dict[str, str] = {
    "lut": "lowbit.kernels.gpu.lut:build",
}


def gpu_function(spec: KernelSpec, target: Target) -> Any:
    """The PrimFunc of ``spec`` with its threads.  Raises UnsupportedOperation for a kind without a builder."""
    from lowbit.kernels.gpu.launch import is_launched
    from lowbit.kernels.vectors import idioms_of

    if spec.kind not in KERNELS:
        raise UnsupportedOperation(f"no kernel builder for {spec.kind!r}; kinds with one: {', '.join(sorted(KERNELS))}")
    place = GPU_KERNELS.get(spec.kind, KERNELS[spec.kind].build)
    with idioms_of(target):
        func = named(place)(spec, target)
    if is_launched(func):
        return func
    known = ", ".join(sorted(GPU_KERNELS))
    raise UnsupportedOperation(f"{spec.kind}: this kind has no kernel for GPUs yet; those with one: {known}")
