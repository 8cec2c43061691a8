"""AMX: products of tiles of 16 x 64 bytes, sixteen thousand in one instruction, summed in 32 bits."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.kernels.conv2d.amx.plan import plan_of
from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.selection.matrix_tiles import MatrixCost
from lowbit.kernels.conv2d.spec import ConvSpec

__all__ = ["FORMS"]


@dataclass(frozen=True, kw_only=True)
class _Tiles(Form):
    """A step is a tile of weights, 16 rows of four K values of 16 channels: a stretch of the panel that vpdpbusd reads."""

    k_group: int = 64
    rows: int = 16
    element: str = "i8"
    features: str = "amx-tile amx-int8"
    techniques: frozenset[str] = frozenset({"amx"})
    builder: str = "lowbit.kernels.conv2d.amx.build:build"
    bracketed: bool = True
    cases: str = "lowbit.kernels.conv2d.amx.cases:cases"
    settles: bool = False

    def tiles(self, spec: ConvSpec) -> int:
        return plan_of(spec).groups

    def scratch_bytes(self, spec: ConvSpec) -> int:
        return 4 * plan_of(spec).scratch_words


FORMS: tuple[Form, ...] = (
    _Tiles(
        name="u8_amx",
        reads=("u8",),
        exact="tdpbusd sums products of bytes into int32 without saturation",
        words=Words("tdpbusd", "bytes", "multiplies tiles of 16 x 64 bytes, whatever their values, into 32 bits", True),
        x86=MatrixCost(),
    ),
)
