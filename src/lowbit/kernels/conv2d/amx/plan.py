"""How the eight tiles are shared out between sums, pixels and channels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import gcd

from lowbit.kernels.conv2d.amx.walk import MOST_ROWS, Walk, walk_of
from lowbit.kernels.conv2d.runs import find_runs
from lowbit.kernels.conv2d.spec import ConvSpec, form_of
from lowbit.kernels.layout import Layout
from lowbit.kernels.packing import FIELDS

__all__ = ["CONFIGURATION", "GROUP", "LONGEST", "RING", "STEP", "SUMS", "Plan", "packs", "plan_of"]

CONFIGURATION = 16  # int32 at the start of the scratch memory, for ldtilecfg
SUMS = 4  # tiles of sums, numbered from 0
STEP = 64  # bytes of K values of a step
RING = 8  # tiles of weights of fewer bits that are bytes at a time
LONGEST = 32896  # products of two bytes each, up to 128 * 255 in size, of which int32 holds the sum
GROUP = 64  # channels whose sums meet in scratch memory, at most: those that results are written from


@dataclass(frozen=True)
class Plan:
    """``pixels`` tiles of inputs against ``columns`` tiles of weights at once, a panel of 16 * ``columns`` channels.

    A unit of the kernel has groups of ``pixels`` tiles and groups of ``panels`` panels.  ``kinds``: int32 sums that make one
    result: 1 of bytes; 3 of 16 bits, of products worth 2^16, 2^8 and 1.  ``interleaved``: results of one group of pixels are
    written between the products of the next; there are two places for sums.  ``narrow``: 0, or how many weights share a byte
    of memory: they become bytes in scratch memory, some steps before their products (unpack.py).  ``src``, ``dst``,
    ``stride``: as in ConvGeometry.
    """

    src: Layout
    dst: Layout
    stride: tuple[int, int]
    rows: int
    pixels: int
    columns: int
    panels: int
    kinds: int = 1
    interleaved: bool = False
    narrow: int = 0

    @cached_property
    def walk(self) -> Walk:
        """Raises ValueError where the output has no ``rows`` pixels that follow one another."""
        found = walk_of(self.src, self.dst, self.stride, self.rows)
        if found is None:
            raise ValueError(f"no {self.rows} pixels follow one another in an output of {self.dst.h} x {self.dst.w}")
        return found

    @property
    def groups(self) -> int:
        """Groups of pixels of the whole output: ``tiles`` of ConvSpec."""
        return -(-self.walk.tiles // self.pixels)

    @property
    def scratch_words(self) -> int:
        """int32 of scratch memory: the tiles' configuration; sums [kind][pixel tile][row][channel of the group], once or twice;
        and a ring of tiles of weights."""
        return self.ring_word + (RING * STEP * 16 * self.columns // 4 if self.narrow else 0)

    @property
    def ring_word(self) -> int:
        """Where the ring begins."""
        return CONFIGURATION + self.sum_words * (2 if self.interleaved else 1)

    @property
    def sum_words(self) -> int:
        """int32 of a group's sums."""
        return self.kinds * self.pixels * MOST_ROWS * GROUP


def packs(spec: ConvSpec) -> bool:
    """Whether results are bytes that follow from int32 sums as they are (packed.py)."""
    return spec.dst.dtype == "u8" and not (spec.sign or spec.wide or spec.acc_shift)


_SHORT = 4  # steps of a sum; with more the products alone fill the time, and a 2 x 2 plan lost by writing between them (measured)


def _interleaved(spec: ConvSpec, walk: Walk | None) -> bool:
    """Whether K is so short that writing weighs as much as multiplying, and every position of a tile is an output pixel."""
    whole = walk is not None and (walk.grid is None or walk.grid == (spec.dst.h, spec.dst.w))
    runs = find_runs(spec, spec.k_group, spec.window)
    return whole and packs(spec) and spec.m_tiles > 1 and runs.count * runs.steps(spec.k_group) <= _SHORT


def plan_of(spec: ConvSpec) -> Plan:
    """The plan that a spec's tile means: mr = rows * pixels, nr = 16 * columns.  Bytes: four sums, so pixels = 4 / columns;
    wide operands: one tile of pixels and one of columns, whose products fill three.

    Where mr is more than the walk has, tiles have as many rows as there are."""
    columns = 1 if spec.wide else spec.nr // 16
    pixels = 1 if spec.wide else SUMS // columns
    longest = max(
        length
        for length in range(1, MOST_ROWS + 1)
        if length == 1 or walk_of(spec.src, spec.dst, spec.stride, length) is not None
    )
    rows = min(-(-spec.mr // pixels), longest)
    return Plan(
        src=spec.src,
        dst=spec.dst,
        stride=spec.stride,
        rows=rows,
        pixels=pixels,
        columns=columns,
        panels=gcd(GROUP // spec.nr, spec.n_blocks),
        kinds=3 if spec.wide else 1,
        narrow=FIELDS.get(form_of(spec.form).element, 0),
        interleaved=_interleaved(spec, walk_of(spec.src, spec.dst, spec.stride, rows)),
    )
