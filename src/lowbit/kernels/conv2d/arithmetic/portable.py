"""Products and sums that LLVM finds instructions for (TensorIR)."""

from __future__ import annotations

from tvm.script import tirx as T

from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
from lowbit.kernels.conv2d.arithmetic.spread import ints
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.targets import Target

__all__ = ["of_bytes", "of_words"]


def of_bytes(spec: ConvSpec, target: Target) -> Arithmetic:
    return _widened("int8", target.vector_bytes // 4)


def of_words(spec: ConvSpec, target: Target) -> Arithmetic:
    return _widened("int16", target.vector_bytes // 4)


def _widened(weight: str, lanes: int) -> Arithmetic:
    return Arithmetic(
        lanes,
        f"int32x{lanes}",
        (weight, lanes),
        ints(lanes),
        lambda kernel, at: T.broadcast(T.cast(kernel.x[at], "int32"), lanes),
        lambda acc, a, w: acc + a * T.cast(w, f"int32x{lanes}"),
    )
