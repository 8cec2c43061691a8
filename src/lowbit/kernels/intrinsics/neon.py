"""Multiply-add, look-up and counting instructions of NEON on vectors of 16 bytes (AArch64)."""

from __future__ import annotations

from typing import Any

__all__ = ["cnt", "fcvtns", "halves", "joined", "lane", "sadd_pairs", "sdot", "smull", "sum_of_products", "tbl", "tbx4"]


def _call(dtype: str, name: str, *args: Any) -> Any:
    from tvm.script import tirx as T

    return T.call_llvm_pure_intrin(dtype, name, *args)


def _shuffle(vectors: list[Any], order: list[int]) -> Any:
    from tvm import tirx

    return tirx.Shuffle(vectors, [tirx.IntImm("int32", i) for i in order])


def lane(vector: Any, index: int, lanes: int) -> Any:
    """The lane in all ``lanes`` lanes: an operand "by element" where the instruction has one, else ``dup``."""
    return _shuffle([vector], [index] * lanes)


def halves(vector: Any, lanes: int) -> tuple[Any, Any]:
    """The lower and the upper half of ``lanes`` lanes."""
    return _shuffle([vector], [*range(lanes // 2)]), _shuffle([vector], [*range(lanes // 2, lanes)])


def joined(low: Any, high: Any, lanes: int) -> Any:
    """Both halves of ``lanes`` lanes together."""
    return _shuffle([low, high], [*range(lanes)])


def smull(a: Any, b: Any, lanes: int) -> Any:
    """Products of ``lanes`` int8 (16 of them) or int16 (8), twice as wide: ``smull`` and ``smull2``, which
    become ``smlal`` and ``smlal2`` where they are added to something."""
    half, wide = lanes // 2, 256 // lanes
    dtype, name = f"int{wide}x{half}", f"llvm.aarch64.neon.smull.v{half}i{wide}"
    low, high = (_call(dtype, name, x, y) for x, y in zip(halves(a, lanes), halves(b, lanes), strict=True))
    return joined(low, high, lanes)


def sadd_pairs(vector: Any) -> Any:
    """int32 x 8: sums of neighbouring lanes of int16 x 16 (``saddlp``; ``sadalp`` where they are added to something)."""
    low, high = (_call("int32x4", "llvm.aarch64.neon.saddlp.v4i32.v8i16", half) for half in halves(vector, 16))
    return joined(low, high, 8)


def sum_of_products(words: Any, count: int) -> Any:
    """int32 x 4 that add up to the products of the int8 in words 0 and 1, 2 and 3, ... of ``count`` of four pairs of
    int16 lanes."""
    from tvm import tirx
    from tvm.script import tirx as T

    first, second = (T.reinterpret("int8x8", _shuffle([words], [half, half + 2, half + 4, half + 6])) for half in range(2))
    products = _call("int16x8", "llvm.aarch64.neon.smull.v8i16", first, second)
    if count < 4:
        kept = [T.int16(-1) if i < 2 * count else T.int16(0) for i in range(8)]
        products = products & tirx.Shuffle(kept, [tirx.IntImm("int32", i) for i in range(8)])
    return _call("int32x4", "llvm.aarch64.neon.saddlp.v4i32.v8i16", products)


def sdot(acc: Any, a: Any, b: Any) -> Any:
    """int32 x 4: acc + the four products int8 * int8 of each lane (the dot product extension)."""
    return _call("int32x4", "llvm.aarch64.neon.sdot.v4i32.v16i8", acc, a, b)


def tbl(table: Any, index: Any) -> Any:
    """Bytes table[index] of a 16-byte table; 0 where index >= 16."""
    return _call("uint8x16", "llvm.aarch64.neon.tbl1.v16i8", table, index)


def tbx4(found: Any, tables: list[Any], index: Any) -> Any:
    """Bytes of four 16-byte tables, one after the other, at index; ``found`` where index >= 64."""
    return _call("uint8x16", "llvm.aarch64.neon.tbx4.v16i8", found, *tables, index)


def cnt(value: Any) -> Any:
    """Ones in each of 16 bytes."""
    return _call("uint8x16", "llvm.ctpop", value)


def fcvtns(value: Any, lanes: int) -> Any:
    """int32: rint of float32 lanes, half to even; ``lanes`` is a multiple of 4."""
    if lanes == 4:
        return _call("int32x4", "llvm.aarch64.neon.fcvtns.v4i32.v4f32", value)
    low, high = (fcvtns(half, lanes // 2) for half in halves(value, lanes))
    return joined(low, high, lanes)
