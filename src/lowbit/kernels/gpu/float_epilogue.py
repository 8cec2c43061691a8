"""From a thread's float32 sums to stored float16: bias, residual, clamp, one rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.gpu.epilogue import load_words, store_words
from lowbit.kernels.gpu.function import GpuFrame
from lowbit.kernels.gpu.halves import loaded, stored
from lowbit.kernels.gpu.words import added

__all__ = ["FloatEpilogue"]


class FloatEpilogue:
    """As ``GpuEpilogue``, of ConvSpec with act f16: o = half(clamp((acc + b) + r, lo, hi)), each step rounded to float32."""

    def __init__(self, frame: GpuFrame, spec: ConvSpec, channels: int, count: int) -> None:
        self.spec, self.count = spec, count
        self.bias, self.bounds = frame.view("b", "float32", channels), frame.view("s", "float32", 2)
        self.out = frame.view("o", "uint32", spec.dst.nbytes // 4)
        self.rest = None if spec.residual is None else frame.view("r", "uint32", spec.residual.nbytes // 4)
        self.written = min(spec.dst.stride, -(-spec.dst.c // 16) * 16)

    def columns(self, group: Any) -> tuple[Any, Any, Any]:
        """Bias of channels count * group .., and the bounds."""
        bias = TB.alloc_buffer((self.count,), "float32", scope="local")
        load_words(bias, 0, self.bias, group, self.count)
        return bias, TB.Bind(self.bounds[0]), TB.Bind(self.bounds[1])

    def write(
        self, sum_of: Callable[[int], Any], columns: tuple[Any, Any, Any], pixel: tuple[Any, Any], group: Any, valid: Any
    ) -> None:
        """As ``GpuEpilogue.write``."""
        spec, count, (bias, lo, hi) = self.spec, self.count, columns
        words = count // 2
        with TB.If(T.And(valid, group * count < self.written)), TB.Then():
            rest = None
            if self.rest is not None and spec.residual is not None:
                rest = TB.alloc_buffer((words,), "uint32", scope="local")
                load_words(rest, 0, self.rest, pixel[1] * (spec.residual.stride // count) + group, words)
            halves = []
            for i in range(count):
                value = added(sum_of(i), bias[i])
                if rest is not None:
                    value = added(value, loaded(T.cast(rest[i // 2] >> T.uint32(16 * (i % 2)), "uint16")))
                value = TB.Bind(value)
                value = TB.Bind(T.Select(value < lo, lo, value))  # NaN stays NaN
                halves.append(T.cast(stored(T.Select(value > hi, hi, value)), "uint32"))
            out = TB.alloc_buffer((words,), "uint32", scope="local")
            for q in range(words):
                TB.buffer_store(out, halves[2 * q] | (halves[2 * q + 1] << T.uint32(16)), [q])
            store_words(self.out, pixel[0] * (spec.dst.stride // count) + group, out, words)
