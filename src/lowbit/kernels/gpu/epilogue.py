"""From a thread's accumulators to stored results: kernels/epilogue.py for neighbouring channels of a pixel.

Products that feed a sum are ``__fmul_rn``, sums ``__fadd_rn``: nothing is contracted, whatever the compiler is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.depthwise_conv2d.spec import DepthwiseSpec
from lowbit.kernels.gpu.function import GpuFrame
from lowbit.kernels.gpu.words import added, multiplied, rounded
from lowbit.kernels.layout import ELEMENT_BYTES, Layout

__all__ = ["GpuEpilogue", "load_words", "store_words"]

_SCALARS = ("lo", "hi", "zero", "r_step", "r_shift", "r_multiplier")


def _pieces(count: int) -> list[tuple[int, int]]:
    """(first, words) of vectors of at most four words."""
    size = next(size for size in (4, 2, 1) if count % size == 0)
    return [(first, size) for first in range(0, count, size)]


def load_words(to: Any, first: int, buffer: Any, unit: Any, count: int) -> None:
    """``count`` words from word unit * count of ``buffer`` on to words first .. of ``to``."""
    for at, size in _pieces(count):
        index = unit * count + at
        if size == 1:
            TB.buffer_store(to, buffer[index], [first + at])
        else:
            TB.buffer_store(to, buffer[T.ramp(index, 1, size)], [T.ramp(first + at, 1, size)])


def store_words(buffer: Any, unit: Any, values: Any, count: int) -> None:
    """Words 0 .. count - 1 of the local buffer ``values`` to words unit * count .. of ``buffer``."""
    for at, size in _pieces(count):
        index = unit * count + at
        if size == 1:
            TB.buffer_store(buffer, values[at], [index])
        else:
            TB.buffer_store(buffer, values[T.ramp(at, 1, size)], [T.ramp(index, 1, size)])


class GpuEpilogue:
    """Of integer sums in int32, in int64 of ``wide`` operands.  Opened at the top of a kernel whose b, s, o and r are "void"
    (the pointers of :meth:`pointers`); a thread then writes ``count`` channels of a pixel at a time, 2 or a multiple of 4, from a
    multiple of ``count`` on."""

    def __init__(self, frame: GpuFrame, spec: ConvSpec | DepthwiseSpec, channels: int, count: int) -> None:
        self.spec, self.count, self.channels = spec, count, channels
        self.bias = frame.view("b", "float64" if spec.wide else "int32", channels)
        self.scale = frame.view("s", "float32", channels + len(_SCALARS))
        self.out = _view(frame, "o", spec.dst, count)
        self.rest = None if spec.residual is None else _view(frame, "r", spec.residual, count)
        self.written = min(spec.dst.stride, -(-spec.dst.c // 16) * 16)

    @staticmethod
    def pointers() -> dict[str, tuple[str, int]]:
        """For :func:`gpu_kernel`."""
        return dict.fromkeys("bsor", ("void", 0))

    def columns(self, group: Any) -> tuple[Any, Any, dict[str, Any]]:
        """Bias, multipliers and scalars of channels count * group .., loaded once for all pixels."""
        count, names = self.count, list(_SCALARS[: 3 if self.rest is None else 6])
        bias = TB.alloc_buffer((count,), "float64" if self.spec.wide else "int32", scope="local")
        scale = TB.alloc_buffer((count,), "float32", scope="local")
        if self.spec.wide:  # two numbers are as wide as four words
            for i in range(0, count, 2):
                load_words(bias, i, self.bias, group * (count // 2) + i // 2, 2)
        else:
            load_words(bias, 0, self.bias, group, count)
        load_words(scale, 0, self.scale, group, count)
        values = {name: TB.Bind(self.scale[self.channels + _SCALARS.index(name)]) for name in names}
        values["zero"] = TB.Bind(T.cast(values["zero"], "int32"))
        return bias, scale, values

    def write(
        self,
        sum_of: Callable[[int], Any],
        columns: tuple[Any, Any, dict[str, Any]],
        pixel: tuple[Any, Any],
        group: Any,
        valid: Any,
    ) -> None:
        """``sum_of(i)``: the sum of channel count * group + i.  ``pixel``: its number in dst and in the residual, halos
        counted.  Nothing is stored where ``valid`` is false, nor in channels that the pixel has not."""
        spec, count = self.spec, self.count
        bias, scale, scalars = columns
        inside = group * count < self.written
        with TB.If(T.And(valid, inside)), TB.Then():
            rest = None
            if self.rest is not None and spec.residual is not None:
                words = count * ELEMENT_BYTES[spec.residual.dtype] // 4
                rest = TB.alloc_buffer((max(1, words),), "uint32", scope="local")
                at = pixel[1] * (spec.residual.stride // count) + group
                if words:
                    load_words(rest, 0, self.rest, at, words)
                else:
                    TB.buffer_store(rest, T.cast(self.rest[at], "uint32"), [0])
            elements = [self._element(sum_of(i), i, bias, scale, scalars, rest) for i in range(count)]
            size = ELEMENT_BYTES[spec.dst.dtype]
            words, each = max(1, count * size // 4), min(count, 4 // size)
            out = TB.alloc_buffer((words,), "uint32", scope="local")
            for q in range(words):
                word = elements[q * each]
                for j in range(1, each):
                    word = word | elements[q * each + j] << T.uint32(8 * size * j)
                TB.buffer_store(out, word, [q])
            at = pixel[0] * (spec.dst.stride // count) + group
            if count * size >= 4:
                store_words(self.out, at, out, words)
            else:
                TB.buffer_store(self.out, T.cast(out[0], "uint16"), [at])

    def _element(self, acc: Any, i: int, bias: Any, scale: Any, scalars: dict[str, Any], rest: Any) -> Any:
        """What is stored for one channel, in the low bits of a uint32."""
        spec = self.spec
        if spec.acc_shift:
            acc = acc * getattr(T, "int64" if spec.wide else "int32")(1 << spec.acc_shift)
        whole = T.cast(acc, "float64") + bias[i] if spec.wide else acc + bias[i]
        if spec.sign and rest is None:
            return T.Select(whole >= (T.float64(0) if spec.wide else T.int32(0)), T.uint32(1), T.uint32(0))
        value = multiplied(T.cast(whole, "float32"), scale[i])
        if rest is not None and spec.residual is not None:
            stored = T.cast(_integer(rest, i, spec.residual), "float32")
            other = added(multiplied(stored, scalars["r_step"]), scalars["r_shift"])
            value = added(value, multiplied(other, scalars["r_multiplier"]))
        if spec.sign:
            return T.Select(value >= T.float32(0), T.uint32(1), T.uint32(0))
        value = T.min(T.max(value, scalars["lo"]), scalars["hi"])
        if spec.dst.dtype == "f32":
            return T.reinterpret("uint32", value)
        stored = rounded(value) + scalars["zero"]
        return T.cast(stored, "uint32") & T.uint32(255 if spec.dst.dtype == "u8" else 65535)


def _view(frame: GpuFrame, name: str, layout: Layout, count: int) -> Any:
    """Words, or halves of words where ``count`` elements have no more."""
    size = min(4, count * ELEMENT_BYTES[layout.dtype])
    return frame.view(name, f"uint{8 * size}", layout.nbytes // size)


def _integer(words: Any, i: int, layout: Layout) -> Any:
    """Stored element i of words of bytes or of int16, as int32."""
    if layout.dtype == "u8":
        return T.cast((words[i // 4] >> T.uint32(8 * (i % 4))) & T.uint32(255), "int32")
    word = T.reinterpret("int32", words[i // 2])
    return (word if i % 2 else word << 16) >> 16
