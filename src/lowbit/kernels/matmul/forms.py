"""How a product of two matrices is summed: one object a sequence of instructions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lowbit.targets import Target

__all__ = ["FORMS", "MatmulForm", "choose_form", "tile_of"]

_ROWS_OF_A_THREAD = 2
_LONGEST = 4096  # products of a sum of bytes: all its terms stay below 2^31


@dataclass(frozen=True)
class MatmulForm:
    """``left``, ``right``: TIR dtypes of what is multiplied; ``group``: rows of the right factor that a step takes; ``total``:
    dtype of sums.  ``centre``: what is taken off a stored left byte; of the right ones it is 128.  ``lanes(target)``: columns of
    one vector.  ``fits(target)``: whether the instructions are there.  ``step(target)``: function of (sum, left, right)."""

    name: str
    left: str
    right: str
    group: int
    total: str
    lanes: Callable[[Target], int]
    fits: Callable[[Target], bool]
    step: Callable[[Target], Callable[[Any, Any, Any], Any]]
    centre: int = 0

    @property
    def bytes(self) -> bool:
        return self.right == "int8"


def _neon(target: Target) -> bool:
    return "neon" in target.features


def _quarter(target: Target) -> int:
    return target.vector_bytes // 4


def _vnni(target: Target) -> bool:
    return bool({"avx512vnni", "avxvnni"} & target.features) and "vnni" not in target.without


def _dot_bytes(target: Target) -> Callable[[Any, Any, Any], Any]:
    from lowbit.kernels.intrinsics.x86 import vpdpbusd

    return lambda acc, a, b: vpdpbusd(acc, a, b, target.vector_bytes)


def _dot_signed(target: Target) -> Callable[[Any, Any, Any], Any]:
    from lowbit.kernels.intrinsics.neon import sdot

    return lambda acc, a, b: sdot(acc, b, a)


def _pairs(target: Target) -> Callable[[Any, Any, Any], Any]:
    from lowbit.kernels.intrinsics.x86 import maddwd, vpdpwssd

    if _vnni(target):
        return lambda acc, a, b: vpdpwssd(acc, a, b, target.vector_bytes)
    return lambda acc, a, b: acc + maddwd(a, b, target.vector_bytes)


def _whole_products(target: Target) -> Callable[[Any, Any, Any], Any]:
    from tvm.script import tirx as T

    kind = f"int32x{_quarter(target)}"
    return lambda acc, a, b: acc + T.cast(a, kind) * T.cast(b, kind)


def _long_products(target: Target) -> Callable[[Any, Any, Any], Any]:
    from lowbit.kernels.intrinsics.neon import smull

    return lambda acc, a, b: acc + smull(a, b, 8)


def _fused(dtype: str) -> Callable[[Target], Callable[[Any, Any, Any], Any]]:
    def step(target: Target) -> Callable[[Any, Any, Any], Any]:
        from tvm.script import tirx as T

        lanes = target.vector_bytes // (8 if dtype == "float64" else 4)
        return lambda acc, a, b: T.call_llvm_pure_intrin(f"{dtype}x{lanes}", "llvm.fmuladd", a, b, acc)

    return step


FORMS: dict[str, MatmulForm] = {
    form.name: form
    for form in (
        MatmulForm("bytes", "uint8", "int8", 4, "int32", _quarter, _vnni, _dot_bytes),
        MatmulForm("sdot", "int8", "int8", 4, "int32", lambda target: 4, lambda t: "dotprod" in t.features, _dot_signed, 128),
        MatmulForm("words", "int16", "int16", 2, "int32", _quarter, lambda t: not (_neon(t) or t.arch), _pairs),
        MatmulForm("imad", "int16", "int16", 1, "int32", _quarter, lambda t: bool(t.arch), _whole_products),
        MatmulForm("smlal", "int16", "int16", 1, "int32", lambda target: 8, _neon, _long_products),
        MatmulForm(
            "f64", "float64", "float64", 1, "float64", lambda t: t.vector_bytes // 8, lambda target: True, _fused("float64")
        ),
        MatmulForm("f32", "float32", "float32", 1, "float32", _quarter, lambda target: True, _fused("float32")),
    )
}
"""In order of preference: the first that fits and is exact is taken.  ``f64`` sums of integers are exact up to 2^53."""


def choose_form(target: Target, depth: int, largest: int | None, narrow: bool) -> MatmulForm:
    """``largest``: bound on sums of integers, None for floats (whose sums of more than 1,024 products are float64); ``narrow``:
    whether both factors are bytes."""
    if largest is None:
        return FORMS["f64" if depth > 1024 else "f32"]
    for form in FORMS.values():
        exact = narrow and largest < 2**31 and (not form.bytes or depth <= _LONGEST)
        if form.total == "int32" and exact and form.fits(target):
            return form
    return FORMS["f64"]


def tile_of(form: MatmulForm, target: Target, rows: int, columns: int) -> tuple[int, int]:
    """(mr, nr): sums of mr rows and nr columns stay in registers, beside one vector of each column block and of a row."""
    if target.arch:  # a thread has few sums, for many threads
        return max(1, min(rows, _ROWS_OF_A_THREAD)), 16
    padded = -(-columns // 16) * 16
    lanes = form.lanes(target)
    wide = padded % 32 == 0 and 32 // lanes <= 2
    nr = 32 if wide else 16
    vectors = -(-nr // lanes) * (2 if form.name == "smlal" else 1)
    return max(1, min(rows, 12, (target.registers - vectors - 2) // vectors - form.bytes)), nr
