"""PackPairsSpec -> TensorIR: inputs for two products in one multiplication, and what belongs to each pixel."""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.data_movement.spec import PackPairsSpec, WordRole, word_roles
from lowbit.kernels.intrinsics.pairs import add_products, offset_bytes
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.vectors import convert, first_lanes, load, load_channels, splat, store, wrapping
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: PackPairsSpec, target: Target) -> Any:
    """One row of the buffer, halo included, a unit.  A pixel's channels are a multiple of sixteen."""
    src, dst = spec.src, spec.dst
    wide = dst.dtype == "i16"
    lanes = target.vector_bytes // ELEMENT_BYTES[dst.dtype]
    full = src.c // lanes
    words = target.vector_bytes // 4

    with kernel_function(spec.symbol(target.name), x=("uint8", src.elements + 64), o=(TIR_DTYPE[dst.dtype], dst.elements)) as k:

        def pack(at_x: Any, at_o: Any, valid: int, real: int, total: Any) -> None:
            """``valid`` channels, ``real`` of which hold values; the others of the vector belong to the next pixel."""
            values = load_channels(k.x, at_x, real, lanes)
            roles = word_roles(min(valid, lanes) * words // lanes, spec.mixed, words)
            stored = _offset(convert(values, "int16", lanes) if wide else values, spec, roles, lanes, real)
            stored = TB.Bind(stored)
            for first in range(0, valid, 16 if valid < lanes else lanes):
                part = min(16, valid) if valid < lanes else lanes
                piece = (
                    stored if part == lanes else tirx.Shuffle([stored], [tirx.IntImm("int32", first + i) for i in range(part)])
                )
                store(k.o, at_o + first, piece, part)
            store(total, 0, add_products(load(total, 0, words), stored, wide, not wide, roles), words)

        with TB.serial(k.lo, k.hi) as row, TB.serial(src.wp) as x:
            pixel = TB.Bind(row * src.wp + x)
            at_x, at_o = pixel * src.stride, pixel * dst.stride
            total = TB.alloc_buffer((words,), "int32", scope="global")
            store(total, 0, splat(0, "int32", words), words)
            if full:
                with TB.serial(full) as i:
                    pack(at_x + i * lanes, at_o + i * lanes, lanes, lanes, total)
            for at in range(full * lanes, src.stride, lanes):
                pack(at_x + at, at_o + at, min(lanes, src.stride - at), max(0, src.c - at), total)
            summed = T.call_llvm_pure_intrin("int32", "llvm.vector.reduce.add", load(total, 0, words))
            elements = 4 // ELEMENT_BYTES[dst.dtype]
            negative = T.reinterpret(f"{TIR_DTYPE[dst.dtype]}x{elements}", T.int32(0) - summed)
            store(k.o, at_o + src.stride, negative, elements)
    return k.func


def _offset(values: Any, spec: PackPairsSpec, roles: list[WordRole], lanes: int, real: int) -> Any:
    """a + first, b - second; lanes from ``real`` on stay 0."""
    if not spec.first and not spec.second:
        return values
    pattern = T.reinterpret(f"uint8x{lanes}", offset_bytes(spec.first, spec.second, 0, roles))
    return wrapping("add", values, first_lanes(pattern, real, "uint8", lanes), "uint8", lanes)
