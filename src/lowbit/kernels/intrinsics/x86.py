"""Multiply-add and look-up instructions of x86 on vectors of 16 (SSE), 32 (AVX2) or 64 bytes (AVX-512)."""

from __future__ import annotations

from typing import Any

__all__ = ["maddubs", "maddwd", "packssdw", "packuswb", "paddsw", "pshufb", "vpdpbusd", "vpdpwssd", "vpermb", "vpermps"]

_MADDUBS = {32: "llvm.x86.avx2.pmadd.ub.sw", 64: "llvm.x86.avx512.pmaddubs.w.512"}
_MADDWD = {16: "llvm.x86.sse2.pmadd.wd", 32: "llvm.x86.avx2.pmadd.wd", 64: "llvm.x86.avx512.pmaddw.d.512"}
_VPDPBUSD = {32: "llvm.x86.avx512.vpdpbusd.256", 64: "llvm.x86.avx512.vpdpbusd.512"}
_VPDPWSSD = {32: "llvm.x86.avx512.vpdpwssd.256", 64: "llvm.x86.avx512.vpdpwssd.512"}
_PSHUFB = {32: "llvm.x86.avx2.pshuf.b", 64: "llvm.x86.avx512.pshuf.b.512"}


def _call(dtype: str, name: str, *args: Any) -> Any:
    from tvm.script import tirx as T

    return T.call_llvm_pure_intrin(dtype, name, *args)


def maddubs(unsigned: Any, signed: Any, nbytes: int) -> Any:
    """int16: u[2i] * s[2i] + u[2i+1] * s[2i+1], saturated."""
    return _call(f"int16x{nbytes // 2}", _MADDUBS[nbytes], unsigned, signed)


def maddwd(a: Any, b: Any, nbytes: int) -> Any:
    """int32: a[2i] * b[2i] + a[2i+1] * b[2i+1] of int16 lanes."""
    return _call(f"int32x{nbytes // 4}", _MADDWD[nbytes], a, b)


def pshufb(table: Any, index: Any, nbytes: int) -> Any:
    """Bytes table[index & 15] within each 16 bytes; 0 where index >= 128."""
    return _call(f"uint8x{nbytes}", _PSHUFB[nbytes], table, index)


def packssdw(a: Any, b: Any) -> Any:
    """int16 x 32, saturated: in every 16 bytes four int32 of ``a``, then four of ``b`` (AVX-512)."""
    return _call("int16x32", "llvm.x86.avx512.packssdw.512", a, b)


def paddsw(a: Any, b: Any) -> Any:
    """int16 x 32: a + b, saturated."""
    from tvm.script import tirx as T

    return T.call_llvm_pure_intrin("int16x32", "llvm.sadd.sat", a, b)


def packuswb(a: Any, b: Any) -> Any:
    """uint8 x 64, saturated: in every 16 bytes eight int16 of ``a``, then eight of ``b`` (AVX-512)."""
    return _call("uint8x64", "llvm.x86.avx512.packuswb.512", a, b)


def vpdpbusd(acc: Any, unsigned: Any, signed: Any, nbytes: int) -> Any:
    """int32: acc + the four products u8 * i8 of each lane, no saturation (AVX-512 VNNI, in 32 bytes also AVX-VNNI)."""
    return _call(f"int32x{nbytes // 4}", _VPDPBUSD[nbytes], acc, unsigned, signed)


def vpdpwssd(acc: Any, a: Any, b: Any, nbytes: int) -> Any:
    """int32: acc + the two products i16 * i16 of each lane, no saturation (as :func:`vpdpbusd`)."""
    return _call(f"int32x{nbytes // 4}", _VPDPWSSD[nbytes], acc, a, b)


def vpermb(table: Any, index: Any) -> Any:
    """Bytes table[index & 63] of one 64-byte table (AVX-512 VBMI)."""
    return _call("uint8x64", "llvm.x86.avx512.permvar.qi.512", table, index)


def vpermps(table: Any, index: Any) -> Any:
    """float32 x 16: table[index & 15] of one vector (AVX-512)."""
    return _call("float32x16", "llvm.x86.avx512.permvar.sf.512", table, index)
