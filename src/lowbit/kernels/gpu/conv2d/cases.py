"""Convolutions to try tensor cores on, beside those that every form is tried on: wide tiles, many blocks, long sums that warps
share, images of few channels, 16-bit results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from lowbit.kernels.case import Case
from lowbit.kernels.conv2d.cases import Operands, Shape, case_of, operands
from lowbit.kernels.conv2d.selection.select import describe
from lowbit.kernels.conv2d.selection.tensor_tiles import MOST_SUMS
from lowbit.kernels.gpu.conv2d.tiling import WARP
from lowbit.targets import Target

__all__ = ["SHAPES", "cases"]

_KERNEL, _AROUND = (3, 3), (1, 1, 1, 1)

#       shape, tile, unit, channels of a pixel in memory (0: a multiple of 16)
SHAPES: dict[str, tuple[Shape, tuple[int, int], tuple[int, int], int]] = {
    "wide tiles": (Shape(64, 200, 12, 11, kernel=_KERNEL, padding=_AROUND, residual=True), (32, 64), (2, 2), 0),
    "blocks in both directions": (Shape(80, 112, 20, 9, kernel=(1, 3), padding=(0, 1, 0, 1)), (16, 32), (2, 2), 0),
    "shared by warps": (Shape(640, 48, 3, 3, residual=True, halo=(1, 0, 1, 0)), (8, 16), (1, 1), 0),
    "images of 3 channels": (Shape(3, 32, 15, 13, 2, kernel=(7, 7), padding=(3, 3, 3, 3), stride=(2, 2)), (16, 32), (2, 1), 4),
    "images of 1 channel": (Shape(1, 16, 9, 8, kernel=_KERNEL, padding=_AROUND), (8, 16), (1, 1), 4),
    "images, dilated": (Shape(3, 16, 9, 9, kernel=_KERNEL, padding=(2, 2, 2, 2), dilation=(2, 2)), (8, 16), (1, 1), 4),
    "16 bits out": (Shape(32, 16, 5, 5, dst="i16"), (16, 16), (1, 2), 0),
}  # fmt: skip


def cases(form: Any, target: Target) -> Iterator[Case]:
    given = [operands(form)]
    if form.wide and form.reads == ("i16",):
        given.append(Operands("i16", "i16", 32767, -32768, 32767, "i16", parts=2))
    for types, (name, (shape, tile, unit, channels)) in product(given, SHAPES.items()):
        problem, w = types.problem(shape), types.weights(shape, "random")
        if channels:
            problem = replace(problem, src=replace(problem.src, stride=channels))
        while form.atom.tile_sums(*tile) > MOST_SUMS * WARP:  # which no kernel of a network has
            tile = tile[0] // 2, tile[1]
        if form.fits(problem, w) and not (channels and problem.act == "b1"):
            choice = describe(form, problem, w, tile, unit, parts=types.parts)
            name = f"{form.name}/{name}/{types.weight}"
            yield case_of(name, problem, choice, w, pad=1 if types.act == "b1" else 0)
