"""What a Winograd kernel computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lowbit.kernels.conv2d.spec import floats, form_of
from lowbit.kernels.geometry import ConvGeometry
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.spec import KernelSpec

__all__ = ["WinogradSpec"]


@dataclass(frozen=True, kw_only=True)
class WinogradSpec(ConvGeometry, KernelSpec):
    """3x3 convolution with stride 1 as F(m x m, 3 x 3) (Lavin and Gray, "Fast algorithms for convolutional neural
    networks", 2016): the same sums, results and ``b``, ``s`` as ConvSpec, in fewer multiplications.

    With p = m + 2 and the integer matrices B, G, A of kernels/winograd/transforms.py, for each tile of p x p inputs
    d and m x m outputs::

        V = B^T d B (+ offset)    U = G w G^T    M[i, j] = sum_c V[i, j, c] * U[i, j, c]
        acc = A^T M A / scale^2

    w: panels [block][3 * ky + kx][step][lane nr][k_group], i8 or f32.  ``offset``: added to each V but V[1, 1],
    which makes it an unsigned byte
    (u8 forms); b then holds, behind the bias, what that adds to A^T M A: int32 [m * m][N16].
    Pairs: M as in PackPairsSpec, from V + ``first`` and V - ``second``; b then also holds what that adds.
    Integers: M modulo 2^32, from which acc follows exactly (proven, transforms.py).
    V and M of a block of ``tb`` tiles and U of ``n_blocks`` channel blocks are in scratch memory; units = tile blocks x
    groups of n_blocks channel blocks.  ``form``, ``depth``, ``mr``, ``nr`` as in ConvSpec, for the sums M.
    """

    kind: ClassVar[str] = "winograd"
    unsaid: ClassVar[frozenset[str]] = frozenset({"kernel", "stride", "dilation", "bounded", "few_residuals"})
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    act: str
    weight: str
    form: str
    m: int
    k_group: int
    depth: int
    mr: int
    nr: int
    tb: int
    n_blocks: int
    acc_shift: int = 0
    sign: bool = False
    offset: int = 0
    first: int = 0
    second: int = 0

    @property
    def pairs(self) -> bool:
        return form_of(self.form).rows > 1

    @property
    def bias_rows(self) -> int:
        """Rows behind the bias."""
        return self.m**2 if self.offset or self.pairs else 0

    @property
    def positions(self) -> int:
        return (self.m + 2) ** 2

    @property
    def generator(self) -> tuple[str, ...]:
        return form_of(self.form).generator

    @property
    def blocks(self) -> int:
        return -(-self.dst.c // self.nr)

    @property
    def steps(self) -> int:
        """Rows of a panel; pairs take the channels that are only there for alignment as well."""
        return -(-(self.src.stride if self.pairs else self.src.c) // self.k_group)

    @property
    def tiles(self) -> int:
        return self.dst.n * -(-self.dst.h // self.m) * -(-self.dst.w // self.m)

    @property
    def groups(self) -> int:
        return -(-self.blocks // self.n_blocks)

    @property
    def units(self) -> int:
        return -(-self.tiles // self.tb) * self.groups

    @property
    def element(self) -> str:
        """dtype of V, as in Layout; that of U is signed."""
        element = form_of(self.form).element
        return "u8" if element == "i8" else element

    @property
    def words(self) -> int:
        """32-bit words of one tile's V at one position."""
        return self.src.stride * ELEMENT_BYTES[self.element] // 4

    @property
    def pitches(self) -> tuple[int, int, int]:
        """32-bit words from one position to the next in U (of one block), V and M.  A cache line more than
        needed: 36 positions a multiple of 4096 bytes apart would share one set of a level-1 cache."""
        row = self.nr * self.k_group * ELEMENT_BYTES[self.element] // 4
        return (self.steps + (2 if self.pairs else 1)) * row, self.tb * self.words + 16, self.tb * self.nr + 16

    @property
    def scratch_words(self) -> tuple[int, int, int, int]:
        """32-bit words of U, V, M, and of what the sums start from (pairs)."""
        u, v, m = self.pitches
        return self.n_blocks * self.positions * u, self.positions * v, self.positions * m, self.positions * self.tb * self.pairs

    @property
    def scratch_bytes(self) -> int:
        return 4 * sum(self.scratch_words)

    @property
    def label(self) -> str:
        acc = "f32" if floats(self.form) else "i32"
        types = self.act if self.act == self.weight == "f32" else self.act + self.weight
        depth = f"_d{self.depth}" if self.depth != 1 else ""
        return f"conv2d_{types}_{acc}__winograd{self.m}_{self.form}{depth}_{self.mr}x{self.nr}"
