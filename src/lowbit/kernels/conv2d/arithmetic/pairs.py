"""(a + w_b) * (b + w_a), two products in one multiplication, of the inputs that PackPairsSpec made (TensorIR)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from tvm.script import tirx as T

from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
from lowbit.kernels.conv2d.arithmetic.spread import ints
from lowbit.kernels.conv2d.spec import ConvSpec, form_of
from lowbit.kernels.intrinsics.x86 import maddwd, vpdpbusd, vpdpwssd
from lowbit.kernels.vectors import load, wrapping
from lowbit.targets import Target

__all__ = ["bytes_vnni", "words_maddwd", "words_vnni"]


def bytes_vnni(spec: ConvSpec, target: Target) -> Arithmetic:
    return _pairs(spec, target.vector_bytes, "int8", partial(vpdpbusd, nbytes=target.vector_bytes))


def words_vnni(spec: ConvSpec, target: Target) -> Arithmetic:
    return _pairs(spec, target.vector_bytes, "int16", partial(vpdpwssd, nbytes=target.vector_bytes))


def words_maddwd(spec: ConvSpec, target: Target) -> Arithmetic:
    return _pairs(spec, target.vector_bytes, "int16", lambda acc, p, q: acc + maddwd(p, q, target.vector_bytes))


def _pairs(spec: ConvSpec, nbytes: int, dtype: str, multiply: Callable[[Any, Any, Any], Any]) -> Arithmetic:
    lanes, elements, group = nbytes // 4, nbytes // np.dtype(dtype).itemsize, spec.k_group // 2

    def word(kernel: Any, at: Any) -> Any:
        return T.reinterpret("int32", load(kernel.x, at, group))

    def spread(kernel: Any, at: Any) -> tuple[Any, Any]:
        a, b = (T.broadcast(word(kernel, at + half * group), lanes) for half in range(2))
        return T.reinterpret(f"{dtype}x{elements}", a), T.reinterpret(f"{dtype}x{elements}", b)

    def step(acc: Any, x: tuple[Any, Any], w: tuple[Any, Any]) -> Any:
        return multiply(acc, wrapping("add", x[0], w[1], dtype, elements), wrapping("add", x[1], w[0], dtype, elements))

    def first(kernel: Any, at: Any) -> Any:
        return word(kernel, at + spec.src.c)

    whole = Arithmetic(lanes, f"int32x{lanes}", (dtype, elements), ints(lanes), spread, step, rows=2, first=first)
    if not form_of(spec.form).mixed:
        return whole

    def one(kernel: Any, at: Any) -> Any:
        return T.reinterpret(f"{dtype}x{elements}", T.broadcast(word(kernel, at), lanes))

    return replace(whole, alone=replace(whole, spread=one, step=multiply, rows=1, first=None))
