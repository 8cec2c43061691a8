"""Where a tensor's elements lie in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["ELEMENT_BYTES", "FLOATS", "Layout", "canonical_shape"]

# a "bits" element is a byte of 8 channels
ELEMENT_BYTES = {"u8": 1, "i16": 2, "i32": 4, "f16": 2, "bf16": 2, "f32": 4, "f64": 8, "bits": 1}
FLOATS = ("f32", "f16", "bf16")
"""Types of values that are no integers; float16 of networks for GPUs, bfloat16 of parts of float32 (numerics/bfloat16.py)."""


def canonical_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Logical shape -> (n, h, w, c): rank 4 is NCHW; any other rank has its last axis as channels.

    (N, F) -> (N, 1, 1, F);  (A, B, C) -> (A, 1, B, C);  (A, B, C, D, E) -> (A*B, C, D, E).
    """
    if len(shape) == 4:
        n, c, h, w = shape
        return n, h, w, c
    if len(shape) <= 3:
        lead = (1,) * (3 - len(shape)) + tuple(shape)
        a, b, c = lead if len(shape) == 3 else (lead[1], 1, lead[2])
        return a, 1, b, c
    rows = 1
    for extent in shape[:-3]:
        rows *= extent
    return rows, shape[-3], shape[-2], shape[-1]


@dataclass(frozen=True)
class Layout:
    """NHWC with a halo: element (b, y, x, ch) lies at ``((b*hp + y + top)*wp + x + left)*stride + ch``
    elements from the buffer's start, hp = h + top + bottom, wp = w + left + right.

    ``stride``: physical channels a pixel (>= c; a multiple of 16 for every tensor a kernel writes).
    Channels c..stride-1 hold finite values that nobody may rely on.  Buffers are 64-byte aligned
    and followed by at least 64 readable bytes.
    """

    n: int
    h: int
    w: int
    c: int
    stride: int
    dtype: str = "u8"
    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    @property
    def hp(self) -> int:
        return self.h + self.top + self.bottom

    @property
    def wp(self) -> int:
        return self.w + self.left + self.right

    @property
    def halo(self) -> bool:
        return bool(self.top or self.left or self.bottom or self.right)

    def without_halo(self, dtype: str | None = None) -> Layout:
        """The same pixels side by side, in elements of ``dtype`` (default: its own)."""
        return replace(self, top=0, left=0, bottom=0, right=0, dtype=dtype or self.dtype)

    @property
    def pixels(self) -> int:
        return self.n * self.h * self.w

    @property
    def elements(self) -> int:
        return self.n * self.hp * self.wp * self.stride

    @property
    def nbytes(self) -> int:
        return self.elements * ELEMENT_BYTES[self.dtype]

    def offset(self, b: int, y: int, x: int, ch: int) -> int:
        """Element offset of (b, y, x, ch); works on TIR expressions as well as on ints."""
        return ((b * self.hp + y + self.top) * self.wp + x + self.left) * self.stride + ch
