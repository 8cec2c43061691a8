"""What kernels that move elements compute: user tensors in and out, copies, packed operands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from lowbit.kernels.layout import FLOATS, Layout
from lowbit.kernels.spec import KernelSpec

__all__ = [
    "MIXED",
    "CopySpec",
    "GatherSpec",
    "InputSpec",
    "OutputSpec",
    "PackBitsSpec",
    "PackBytesSpec",
    "PackFieldsSpec",
    "PackHalvesSpec",
    "PackPairsSpec",
    "PackTapsSpec",
    "RunsSpec",
    "WordRole",
    "word_roles",
]


@dataclass(frozen=True, kw_only=True)
class CopySpec(KernelSpec):
    """Strided copy of elements: for i in product(dims): o[dst_offset + sum i*dst_stride] =
    x[src_offset + sum i*src_stride].  dims: ((extent, src_stride, dst_stride), ...), outermost first.
    units = extent of the first dimension."""

    kind: ClassVar[str] = "copy"
    dtype: str
    dims: tuple[tuple[int, int, int], ...]
    src_offset: int
    dst_offset: int
    src_elements: int
    dst_elements: int

    @property
    def units(self) -> int:
        return self.dims[0][0]

    @property
    def label(self) -> str:
        return f"copy_{self.dtype}"


@dataclass(frozen=True, kw_only=True)
class InputSpec(KernelSpec):
    """The user's dense float32 tensor -> dst.  Element (n, h, w, c) is read at the given strides.

    dst f32: copied, f16: rounded.  Integer: f = x / s[0] (IEEE division), NaN -> lo; s = [scale, lo, hi, zero];
    ``sign``: stored = x >= 0.  Channels c..stride-1 are written with the image of 0.
    units = rows (n * h)."""

    kind: ClassVar[str] = "input"
    dst: Layout
    strides: tuple[int, int, int, int]  # of n, h, w, c in the user's tensor, in elements
    sign: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"copy_input_{self.dst.dtype}" if self.dst.dtype in FLOATS else f"quantize_f32_{self.dst.dtype}"


@dataclass(frozen=True, kw_only=True)
class OutputSpec(KernelSpec):
    """src -> the user's dense float32 tensor: x = v * s[2], s = [step, shift, scale]; floats are copied.  Positions (src i32) ->
    the user's dense int64 tensor."""

    kind: ClassVar[str] = "output"
    src: Layout
    strides: tuple[int, int, int, int]

    @property
    def units(self) -> int:
        return self.src.n * self.src.h

    @property
    def label(self) -> str:
        copies = {"f32": "copy_output_f32", "f16": "copy_output_f16", "i32": "copy_output_i64"}
        return copies.get(self.src.dtype) or f"dequantize_{self.src.dtype}_f32"


@dataclass(frozen=True, kw_only=True)
class PackBitsSpec(KernelSpec):
    """u8 values in {0, 1} -> "bits" layout: bit j of byte i of a pixel is channel 8*i + j; bits of
    channels >= src.c are 0.  dst.stride = bytes a pixel = 4 * ceil(c / 32); dst has src's halo, which
    is packed too.  units = n * hp rows."""

    kind: ClassVar[str] = "pack_bits"
    src: Layout
    dst: Layout

    @property
    def units(self) -> int:
        return self.src.n * self.src.hp


@dataclass(frozen=True, kw_only=True)
class PackBytesSpec(KernelSpec):
    """o = the low bytes of x in images 0 .. n - 1 of dst, its high bytes, which have the sign, in images n .. 2n - 1:
    x = 256 * (int8) high + low.

    src is i16; dst is u8, of twice as many images, and else like src.  Channels past the last one are packed like others.
    units = n * hp rows of src."""

    kind: ClassVar[str] = "pack_bytes"
    src: Layout
    dst: Layout

    @property
    def units(self) -> int:
        return self.src.n * self.src.hp


@dataclass(frozen=True, kw_only=True)
class PackFieldsSpec(KernelSpec):
    """u8 values of ``bits`` bits -> bytes of ``fields`` channels: o[i] = sum_j x[i + j * dst.c] << (shift + bits * j)
    for i < dst.c = ceil(src.c / fields), channels >= src.c being 0; shift = 8 - bits * fields, which makes a byte
    of four bits the offset of a 16-byte table.  dst has src's halo, which is packed too; its
    stride is a multiple of 16.  units = n * hp rows."""

    kind: ClassVar[str] = "pack_fields"
    src: Layout
    dst: Layout
    fields: int
    bits: int

    @property
    def shift(self) -> int:
        return 8 - self.bits * self.fields

    @property
    def units(self) -> int:
        return self.src.n * self.src.hp


@dataclass(frozen=True, kw_only=True)
class PackHalvesSpec(KernelSpec):
    """float32 x = h + l + e as two bfloat16 (numerics/bfloat16.py): o = h in images 0 .. n - 1 of dst, l in images n .. 2n - 1.

    src is f32; dst is bf16, of twice as many images, with src's pixels and halo.  Channels src.c .. dst.stride - 1 are 0,
    whatever x has there: what multiplies them may be a weight of 0, and 0 * NaN is NaN.
    units = n * hp rows of src."""

    kind: ClassVar[str] = "pack_halves"
    src: Layout
    dst: Layout

    @property
    def units(self) -> int:
        return self.src.n * self.src.hp


@dataclass(frozen=True, kw_only=True)
class PackPairsSpec(KernelSpec):
    """Inputs of forms that multiply sums of pairs (Winograd, "A new algorithm for inner product", 1968, equation 1).

    The channels of a pixel are taken by words of g = 4 / element size of dst, each of which has a role (``word_roles``):
    a_0 .. a_{g-1} and b_0 .. b_{g-1} follow one another, others are alone.
    o holds a + ``first``, b - ``second`` (modulo 256 for u8) and words that are alone as they are, 0 from channel src.c on,
    whatever src holds there (a sum with it might leave its byte), and behind a pixel's src.stride channels the int32
    -sum (a + first) * (b - second), which is what sums of (a + first + w_b) * (b - second + w_a) start from.
    dst = src's pixels and halo, c = src.stride, stride = c + 4 bytes.  units = n * hp rows."""

    kind: ClassVar[str] = "pack_pairs"
    unsaid: ClassVar[frozenset[str]] = frozenset({"mixed"})
    src: Layout
    dst: Layout
    first: int
    second: int
    mixed: bool = False

    @property
    def units(self) -> int:
        return self.src.n * self.src.hp


class WordRole(IntEnum):
    """What becomes of a word of channels in the products of pairs."""

    A = 0
    B = 1
    ALONE = 2


MIXED = tuple(map(WordRole, (0, 1, 2, 0, 1, 2, 0, 1)))
"""The roles of a round of words where a quarter of them is alone."""


def word_roles(words: int, mixed: bool, room: int = 0) -> list[WordRole]:
    """Of so many words that begin a pixel's round and end with the pixel or a round; what follows them up to
    ``room`` words is alone.  ``mixed``: in rounds of MIXED, else of A and B."""
    rounds = MIXED if mixed else MIXED[:2]
    roles = [rounds[word % len(rounds)] for word in range(words)]
    if roles[-1] is WordRole.A:
        roles[-1] = WordRole.ALONE
    return roles + [WordRole.ALONE] * (room - words)


@dataclass(frozen=True, kw_only=True)
class PackTapsSpec(KernelSpec):
    """Bytes that a convolution reads -> for each of its output pixels, all taps (ky, kx) side by side, src.c channels each:
    o[b, y, x, (ky * kw + kx) * src.c + ch] = x[b, y * stride[0] + ky * dilation[0] - padding[0], x * ... - padding[1], ch].

    src has no channels behind c; its halo covers what is read.  dst.c = dst.stride = taps * src.c, without halo.
    ``kernel``, ``stride``, ``dilation``, ``padding``: as in ConvGeometry.  units = n * h rows of dst."""

    kind: ClassVar[str] = "pack_taps"
    src: Layout
    dst: Layout
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h


@dataclass(frozen=True, kw_only=True)
class RunsSpec(KernelSpec):
    """Copy of contiguous runs, of any geometry: t = [src_offset, dst_offset, run | extent, src_stride,
    dst_stride of ``depth`` dimensions, outermost first]; for i in product(extents):
    o[dst_offset + sum i*dst_stride ...+ run] = x[src_offset + sum i*src_stride ...+ run].

    ``rescale``: integer results of f = v * s[2] instead, s = [step, shift, multiplier, lo, hi, zero].
    units = the first extent, which only the call knows."""

    kind: ClassVar[str] = "runs"
    src: str  # dtypes as in Layout
    dst: str
    depth: int
    rescale: bool = False
    sign: bool = False

    @property
    def label(self) -> str:
        return f"rescale_runs_{self.src}_{self.dst}" if self.rescale else f"copy_runs_{self.dst}"


@dataclass(frozen=True, kw_only=True)
class GatherSpec(KernelSpec):
    """Copy of pieces that lie anywhere: t = [pieces, where they begin in t | source, destination of every unit | of every piece];
    for every piece p of unit u: o[dst_u + dst_p ...+ run] = x[src_u + src_p ...+ run].

    ``run``: elements of each piece; 0: they differ, and t has three numbers a piece, the last its length.
    units: as many as the call says."""

    kind: ClassVar[str] = "gather"
    dtype: str
    run: int = 0

    @property
    def label(self) -> str:
        return f"gather_{self.dtype}{f'x{self.run}' if self.run else ''}"
