"""Forms for any CPU: plain 32-bit products, whatever LLVM makes of them."""

from __future__ import annotations

from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.forms.int16 import Int16Form
from lowbit.kernels.conv2d.selection.gpu_tiles import ThreadCost
from lowbit.kernels.conv2d.selection.neon_tiles import NeonCost
from lowbit.kernels.conv2d.selection.tiles import VectorCost

__all__ = ["FORMS"]

_X86 = VectorCost(3.0, 2)
_NEON = NeonCost(4, 2, 2, temporaries=4)
_GPU = ThreadCost(1.0)

FORMS: tuple[Form, ...] = (
    Form(
        name="u8_portable",
        k_group=1,
        element="i8",
        reads=("u8",),
        exact="int32 products and sums",
        words=Words("32-bit multiply", "bytes", "multiplies one pair a lane"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.portable:of_bytes",
        x86=_X86,
        neon=_NEON,
        gpu=_GPU,
    ),
    Int16Form(
        name="i16_portable",
        k_group=1,
        words=Words("32-bit multiply", "int16", "multiplies one pair a lane"),
        arithmetic="lowbit.kernels.conv2d.arithmetic.portable:of_words",
        x86=_X86,
        neon=_NEON,
        gpu=_GPU,
    ),
)
