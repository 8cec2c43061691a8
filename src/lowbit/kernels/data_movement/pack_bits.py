"""PackBitsSpec -> TensorIR: bytes 0 and 1 into bits."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import kernel_function
from lowbit.kernels.data_movement.spec import PackBitsSpec
from lowbit.kernels.vectors import load, splat, store
from lowbit.targets import Target

__all__ = ["build"]

_GROUP = 32  # channels of one stored dword


def build(spec: PackBitsSpec, target: Target) -> Any:
    """One row of the buffer, halo included, a unit; one dword of 32 channels at a time."""
    src, dst = spec.src, spec.dst
    words = dst.stride // 4
    whole, rest = divmod(src.c, _GROUP)

    with kernel_function(spec.symbol(target.name), x=("uint8", src.elements), o=("uint8", dst.elements)) as k:

        def word(at_x: Any, at_o: Any, channels: int) -> None:
            bits = _movemask(k.x, at_x, target) if channels else T.uint32(0)
            if channels < _GROUP:
                bits = bits & T.uint32((1 << channels) - 1)
            store(k.o, at_o, T.reinterpret("uint8x4", bits), 4)

        with TB.serial(k.lo, k.hi) as row, TB.serial(src.wp) as x:
            pixel = row * src.wp + x
            at_x, at_o = pixel * src.stride, pixel * dst.stride
            if whole:
                with TB.serial(whole) as i:
                    word(at_x + i * _GROUP, at_o + i * 4, _GROUP)
            for i in range(whole, words):
                word(at_x + i * _GROUP, at_o + i * 4, rest if i == whole else 0)
    return k.func


def _movemask(buffer: Any, at: Any, target: Target) -> Any:
    """uint32: bit j is bit 0 of byte at + j."""
    if "avx2" in target.features:
        moved = T.reinterpret("int8x32", _to_sign_bit(load(buffer, at, 32), 32))
        return T.cast(T.call_llvm_pure_intrin("int32", "llvm.x86.avx2.pmovmskb", moved), "uint32")
    parts = []
    for half in range(2):
        if "sse2" in target.features:
            moved = T.reinterpret("int8x16", _to_sign_bit(load(buffer, at + 16 * half, 16), 16))
            parts.append(T.cast(T.call_llvm_pure_intrin("int32", "llvm.x86.sse2.pmovmskb.128", moved), "uint32"))
        else:
            parts.append(_gather_bits(buffer, at + 16 * half) | (_gather_bits(buffer, at + 16 * half + 8) << T.uint32(8)))
    return parts[0] | (parts[1] << T.uint32(16))


def _to_sign_bit(values: Any, count: int) -> Any:
    """Bytes 0, 1 -> 0, 128.  A shift of 16-bit lanes: the low byte's bit stays inside its byte."""
    return T.reinterpret(f"uint16x{count // 2}", values) << splat(T.uint16(7), "uint16", count // 2)


def _gather_bits(buffer: Any, at: Any) -> Any:
    """Eight bytes 0 or 1 -> one byte, by a multiplication that moves byte j's bit to bit 56 + j:
    8j + (56 - 7j) = 56 + j, and no two products meet."""
    eight = T.reinterpret("uint64", load(buffer, at, 8)) & T.uint64(0x0101010101010101)
    return T.cast((eight * T.uint64(0x0102040810204080)) >> T.uint64(56), "uint32")
