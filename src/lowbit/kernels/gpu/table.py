"""The table of kernels made for GPUs: kind -> ``module:function``, (spec, target) -> PrimFunc with its threads.

Kinds that are not here are computed by the CPUs' TensorIR, spread over threads (spread.py).  A form of convolutions for GPUs
alone is not here either: its builder gives a PrimFunc with threads, which is taken as it is."""

from __future__ import annotations

from typing import Any

from lowbit.errors import UnsupportedOperation
from lowbit.kernels.named import named
from lowbit.kernels.spec import KernelSpec
from lowbit.kernels.table import KERNELS
from lowbit.targets import Target

__all__ = ["GPU_KERNELS", "gpu_function", "units_of"]

GPU_KERNELS: dict[str, str] = {
    "copy": "lowbit.kernels.gpu.moves:copy",
    "depthwise": "lowbit.kernels.gpu.depthwise:build",
    "input": "lowbit.kernels.gpu.moves:stored_input",
    "layer_norm": "lowbit.kernels.gpu.layer_norm:build",
    "lut": "lowbit.kernels.gpu.lut:build",
    "output": "lowbit.kernels.gpu.moves:output",
    "softmax": "lowbit.kernels.gpu.softmax:build",
}


def gpu_function(spec: KernelSpec, target: Target) -> Any:
    """The PrimFunc of ``spec`` with its threads.  Raises UnsupportedOperation for a kind without a builder."""
    from lowbit.kernels.gpu.halves import as_float32, halves_of
    from lowbit.kernels.gpu.launch import is_launched
    from lowbit.kernels.gpu.spread import spread
    from lowbit.kernels.vectors import idioms_of

    if spec.kind not in KERNELS:
        raise UnsupportedOperation(f"no kernel builder for {spec.kind!r}; kinds with one: {', '.join(sorted(KERNELS))}")
    halves = halves_of(spec)
    with idioms_of(target):
        func = named(GPU_KERNELS.get(spec.kind, KERNELS[spec.kind].build))(as_float32(spec) if halves else spec, target)
    return func if is_launched(func) else spread(func, spec, spec.symbol(target.name), units_of(spec), halves)


def units_of(spec: KernelSpec) -> int | None:
    """None where the calls say how many there are."""
    try:
        return spec.units
    except NotImplementedError:
        return None
