"""Fused multiply-adds (TensorIR)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic, batched
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.intrinsics.neon import lane
from lowbit.kernels.vectors import load, splat
from lowbit.targets import Target

__all__ = ["multiply_add"]


def multiply_add(spec: ConvSpec, target: Target) -> Arithmetic:
    """Inputs by broadcast, or, where the CPU multiplies by an element of a register (NEON), four at a time."""
    if "neon" in target.features:
        return _by_element()
    lanes = target.vector_bytes // 4
    return Arithmetic(
        lanes,
        f"float32x{lanes}",
        ("float32", lanes),
        splat(0.0, "float32", lanes),
        lambda kernel, at: T.broadcast(kernel.x[at], lanes),
        lambda acc, a, w: T.call_llvm_pure_intrin(f"float32x{lanes}", "llvm.fmuladd", a, w, acc),
    )


def _by_element() -> Arithmetic:
    def spreads(kernel: Any, at: Any) -> Callable[[int], Any]:
        values = TB.Bind(load(kernel.x, at, 4))
        return lambda step: lane(values, step, 4)

    return Arithmetic(
        4,
        "float32x4",
        ("float32", 4),
        splat(0.0, "float32", 4),
        step=lambda acc, a, w: T.call_llvm_pure_intrin("float32x4", "llvm.fmuladd", w, a, acc),
        **batched(spreads, 4),
    )
