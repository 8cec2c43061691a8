"""What a convolution kernel computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lowbit.kernels.geometry import ConvGeometry
from lowbit.kernels.layout import FLOATS
from lowbit.kernels.spec import KernelSpec

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.forms.form import Form

__all__ = ["ConvSpec", "floats", "form_of"]


def form_of(name: str) -> Form:
    """Raises UnsupportedPrecision for a form that is not in the table."""
    from lowbit.kernels.conv2d.forms import find_form  # forms know specs, too

    return find_form(name)


def _known(name: str) -> Form | None:
    """A form, which may be unknown here: files are made by other versions."""
    from lowbit.kernels.conv2d.forms import FORMS

    return FORMS.get(name)


def floats(name: str) -> bool:
    """Whether a form, which may be unknown here, multiplies floats."""
    form = _known(name)
    return form is not None and form.element in FLOATS


@dataclass(frozen=True, kw_only=True)
class ConvSpec(ConvGeometry, KernelSpec):
    """Dense convolution or linear layer (a linear layer is 1x1 over (n*h*w, c) pixels).

    acc[n] = sum_k stored_x[k] * w[n, k]                    (exact integer; or float32)
    acc    = (acc << acc_shift) + b[n]                       b: int32[N16]; float64[N16] for ``wide``
    f      = f32(acc) * s[n] (+ fence(v_r * s[N16 + 5]))      N16 = out_channels rounded up to ``nr``
    o      = integer result / f itself where dst is f32

    s = [multiplier[N16] | lo, hi, zero, r_step, r_shift, r_multiplier]
    floats: o = clamp(acc + b[n] (+ r), lo, hi) in float32, b float32[N16], s = [lo, hi]; float16: rounded once when stored
    Where dst is f32 and operands are integers: o = f (+ v_r * r_multiplier), clamped to [lo, hi].

    K order: for tap-runs (ky, and kx unless a kernel row is contiguous in memory), then input
    channels; each run is padded to ``k_group`` with zero weights.  Weight panels
    ``[block][step][lane nr][k_group]`` (see pack.py).  ``window``: for grouped convolutions each block of
    ``nr`` output channels reads ``window`` input channels from t[block] on; 0 = all.
    Look-up forms: src holds bytes of several channels (PackFieldsSpec), k_group = 1 such byte, t = the
    table of look_up.py, panels [block][step][lane nr] of bytes.
    ``start``, of look-up forms: what their byte sums start from.
    ``centre``, of forms of signed bytes: acc = sum_k (stored_x[k] - centre) * w[n, k]; b holds the rest.
    A form that does some steps twice: K-steps come from t = [start[blocks + 1] | activation offset of each entry] (packing.py).
    """

    kind: ClassVar[str] = "conv2d"
    unsaid: ClassVar[frozenset[str]] = frozenset({"centre", "bounded", "few_residuals"})
    op: str  # "conv2d" or "linear": for the name only
    act: str  # text of the QTypes, "f32" or "f16" for floats
    weight: str
    form: str  # a name in the table of forms
    k_group: int  # k values a step consumes
    depth: int  # steps whose products share a narrow accumulator before widening; 0 = whole K
    mr: int  # pixels a tile
    nr: int  # output channels a tile
    m_tiles: int  # pixel tiles a unit
    n_blocks: int  # channel blocks a unit
    acc_shift: int = 0
    wide: bool = False  # accumulate in float64-exact blocks (16-bit operands)
    parts: int = 1  # 2: 16-bit weights as w = 256 * high + low, panels [step][part][nr][k_group]
    sign: bool = False  # b1 output, or one of two values whose threshold is in b (without residual)
    window: int = 0
    start: int = 0
    centre: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for a ``start`` of a form that has none: specs made before ``centre`` had a name of its own."""
        from lowbit.kernels.conv2d.forms import FORMS

        if self.start and self.form in FORMS and FORMS[self.form].element != "index":
            raise ValueError(f"{self.form} starts its sums from 0, not from {self.start}")

    @property
    def generator(self) -> tuple[str, ...]:
        return form_of(self.form).generator

    @property
    def blocks(self) -> int:
        return -(-self.dst.c // self.nr)

    @property
    def tiles(self) -> int:
        form = _known(self.form)
        return -(-self.dst.pixels // self.mr) if form is None else form.tiles(self)

    @property
    def scratch_bytes(self) -> int:
        form = _known(self.form)
        return 0 if form is None else form.scratch_bytes(self)

    @property
    def bracketed(self) -> bool:
        form = _known(self.form)
        return form is not None and form.bracketed

    @property
    def relative_error(self) -> float | None:
        """``Form.relative_error``."""
        form = _known(self.form)
        return None if form is None else form.relative_error(self)

    @property
    def units(self) -> int:
        return -(-self.tiles // self.m_tiles) * -(-self.blocks // self.n_blocks)

    @property
    def label(self) -> str:
        acc = "f32" if floats(self.form) else "i64" if self.wide else "i32"
        types = self.act if self.act == self.weight in FLOATS else self.act + self.weight
        depth = f"_d{self.depth}" if self.depth != 1 else ""
        return f"{self.op}_{types}_{acc}__{self.form}{depth}_{self.mr}x{self.nr}"
