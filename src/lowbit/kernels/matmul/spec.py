"""What the kernels of matrix products compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec

__all__ = ["MatmulPackSpec", "MatmulSpec"]


@dataclass(frozen=True, kw_only=True)
class MatmulPackSpec(KernelSpec):
    """The right factor in panels: src (n, 1, K, N) or, ``transposed``, (n, 1, N, K) -> dst (n, blocks, steps, nr * group):
    element j * group + g of step s of block b is that of row s * group + g and column b * nr + j, 0 beyond the matrix.

    ``form`` (forms.py) says what an element is: f32: x;  f64, words: v = stored * step + shift;  bytes: stored - 128 as a signed
    byte.  s = [step, shift].  units = n * blocks."""

    kind: ClassVar[str] = "matmul_pack"
    src: Layout
    dst: Layout
    form: str
    depth: int
    columns: int
    nr: int
    transposed: bool

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"matmul_pack_{self.src.dtype}_{self.form}"


@dataclass(frozen=True, kw_only=True)
class MatmulSpec(KernelSpec):
    """acc[m, j] = sum over k < depth of v_x[m, k] v_w[k, j] in every image; src (n, 1, M, K), w: panels as MatmulPackSpec leaves
    them (``panels``), dst (n, 1, M, N).

    integers: v = stored * step + shift, acc exact (int32, or float64 for form f64),  f = f32(acc) * factor,
      s = [factor, x_step, x_shift, w_step, w_shift, lo, hi, zero].
    float:  acc in float32 or, form f64, float64;  f = acc * factor,  s = [factor].
    Forms of bytes multiply stored numbers, and find what shifts add beside: sums of rows, and, where x has a shift (``shifted``),
    of columns.  ``mr`` rows are copied to scratch memory and multiplied by ``nr`` columns at a time.
    units = n * ceil(M / mr)."""

    kind: ClassVar[str] = "matmul"
    src: Layout
    panels: Layout
    dst: Layout
    form: str
    depth: int
    mr: int
    nr: int
    shifted: bool = True
    sign: bool = False

    @property
    def tiles(self) -> int:
        return -(-self.dst.w // self.mr)

    @property
    def units(self) -> int:
        return self.dst.n * self.tiles

    @property
    def pitch(self) -> int:
        """Elements of a row in scratch memory."""
        return -(-self.depth // 16) * 16

    @property
    def scratch_bytes(self) -> int:
        return self.mr * self.pitch * 8

    @property
    def label(self) -> str:
        return f"matmul_{self.src.dtype}_{self.dst.dtype}_{self.form}"
