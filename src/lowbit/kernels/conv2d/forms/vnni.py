"""AVX-512 VNNI and AVX-VNNI: vpdpbusd and vpdpwssd multiply and add into 32 bits in one instruction."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.forms.int16 import Int16Form
from lowbit.kernels.conv2d.forms.transformed import Facts, Terms, bytes_fit
from lowbit.kernels.conv2d.selection.cost import WinogradCost
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.selection.tiles import VectorCost

__all__ = ["FORMS"]

_VNNI = "avx512f avx512vnni | avxvnni"
_COST = VectorCost(1.0, 0, winograd=WinogradCost(1.0, 1))


@dataclass(frozen=True, kw_only=True)
class _Bytes(Form):
    def winograd(self, m: int, problem: ConvProblem, facts: Facts) -> Terms | None:
        return Terms(offset=2 * problem.act_max) if bytes_fit(m, problem.act_max, facts) else None


FORMS: tuple[Form, ...] = (
    _Bytes(
        name="u8_vnni",
        k_group=4,
        element="i8",
        reads=("u8",),
        features=_VNNI,
        techniques=frozenset({"vnni"}),
        exact="vpdpbusd sums four products into int32 without saturation",
        words=Words("vpdpbusd", "bytes", "multiplies four pairs of bytes a lane, whatever their values, into 32 bits", True),
        arithmetic="lowbit.kernels.conv2d.arithmetic.vnni:of_bytes",
        x86=_COST,
    ),
    Int16Form(
        name="i16_vnni",
        k_group=2,
        features=_VNNI,
        techniques=frozenset({"vnni"}),
        words=Words("vpdpwssd", "int16", "multiplies two pairs of int16 a lane and adds them in 32 bits"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.vnni:of_words",
        x86=_COST,
        depthwise=True,
    ),
)
