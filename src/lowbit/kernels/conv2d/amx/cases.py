"""Convolutions to try tiles on: every plan and every walk, full and partial tiles, groups and units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from lowbit.kernels.case import Case
from lowbit.kernels.conv2d.amx.plan import LONGEST
from lowbit.kernels.conv2d.cases import Operands, Shape, case_of, forced, operands
from lowbit.kernels.conv2d.forms.form import Form
from lowbit.targets import Target

__all__ = ["SHAPES", "cases"]

_KERNEL, _AROUND = (3, 3), (1, 1, 1, 1)

# shape, (mr, nr), (groups of tiles, panels) a unit
SHAPES: dict[str, tuple[Shape, tuple[int, int], tuple[int, int]]] = {
    "four tiles of 13 rows by one": (Shape(128, 96, 7, 7), (52, 16), (1, 4)),
    "over the halo": (Shape(64, 80, 7, 7, kernel=_KERNEL, padding=_AROUND, halo=(1, 1, 1, 1)), (64, 16), (1, 4)),
    "over the halo, images": (Shape(16, 33, 7, 5, 3, kernel=_KERNEL, padding=_AROUND, residual=True), (32, 32), (2, 2)),
    "two by two, row by row": (
        Shape(64, 160, 14, 14, kernel=_KERNEL, padding=_AROUND, residual=True, halo=(0, 1, 1, 0)),
        (28, 32),
        (3, 2),
    ),
    "an odd tile": (Shape(64, 64, 3, 14, kernel=_KERNEL, padding=_AROUND), (28, 32), (1, 1)),
    "one panel a unit": (Shape(64, 144, 4, 16), (32, 32), (1, 1)),
    "one tile by four": (Shape(192, 208, 1, 9), (9, 64), (1, 1)),
    "rows of a linear layer": (Shape(100, 72, 1, 150), (16, 64), (4, 2)),
    "stride 2": (Shape(64, 64, 15, 14, kernel=(3, 3), stride=(2, 2), padding=(1, 1, 0, 1), residual=True), (14, 32), (2, 2)),
    "stride 2 of pixels": (Shape(128, 64, 14, 14, stride=(2, 2)), (28, 16), (2, 4)),
    "dilation": (Shape(80, 48, 9, 18, kernel=(3, 2), dilation=(2, 3), padding=(2, 1, 2, 2)), (30, 32), (2, 2)),
    "groups": (Shape(128, 64, 6, 20, kernel=_KERNEL, padding=_AROUND, groups=2), (64, 16), (2, 2)),
    "windows of two groups": (Shape(96, 72, 5, 9, kernel=_KERNEL, padding=_AROUND, groups=6, residual=True), (20, 16), (2, 3)),
    "an image": (Shape(3, 40, 21, 30, kernel=(7, 7), stride=(2, 2), padding=(3, 3, 3, 3), dense=True), (30, 32), (3, 2)),
    "float results": (Shape(64, 31, 6, 6, dst="f32", residual=True), (24, 32), (1, 1)),
    "16-bit results": (Shape(70, 64, 6, 6, dst="i16"), (24, 32), (1, 2)),
    "signs": (Shape(64, 48, 5, 6, sign=True), (16, 32), (1, 2)),
    "signs of sums": (Shape(64, 48, 5, 6, sign=True, residual=True), (16, 32), (1, 2)),
    "written between products": (Shape(64, 192, 8, 28, residual=True), (28, 32), (5, 4)),
    "written between products to a halo": (Shape(200, 64, 6, 16, residual=True, halo=(1, 1, 1, 1)), (32, 32), (3, 2)),
    "written between products, four by one": (Shape(64, 80, 9, 16), (64, 16), (2, 4)),
    "written between products, row by row": (
        Shape(64, 64, 9, 13, kernel=(1, 3), stride=(2, 1), padding=(0, 1, 0, 1)),
        (13, 64),
        (4, 1),
    ),
    "few pixels": (Shape(200, 80, 7, 7), (52, 16), (1, 4)),
    "few pixels over the halo": (Shape(64, 96, 7, 7, kernel=_KERNEL, padding=_AROUND, residual=True), (64, 16), (1, 2)),
    "few pixels of one step": (Shape(40, 24, 1, 20, dst="f32"), (64, 16), (1, 4)),
    "few pixels, stride 2": (
        Shape(48, 80, 13, 14, kernel=_KERNEL, stride=(2, 2), padding=_AROUND, residual=True, halo=(1, 1, 1, 1)),
        (52, 16),
        (1, 4),
    ),
    "few pixels, stride 2, dilation": (
        Shape(64, 40, 12, 10, 2, kernel=(3, 2), stride=(2, 3), dilation=(1, 2), padding=(2, 1, 0, 2), dst="f32"),
        (30, 16),
        (1, 2),
    ),
    "few pixels of one tap, stride 2": (Shape(160, 64, 14, 14, stride=(2, 2)), (52, 16), (1, 4)),
    "long sums": (Shape(704, 48, 4, 5, kernel=_KERNEL, padding=_AROUND), (20, 32), (1, 1)),
}


def cases(form: Form, target: Target) -> Iterator[Case]:
    """All shapes with random operands; the longest also with operands at their ends.  Of a wide form with weights of one byte
    and of two, and with inputs of one byte."""
    types = [operands(form)]
    if form.wide:
        types += [replace(types[0], weight="i16", low=-32768, high=32767), Operands("u8", "i16", 255, -32768, 32767)]
    for of, (name, (shape, tile, unit)) in product(types, SHAPES.items()):
        for kind in ("random", "low", "high") if name == "long sums" else ("random",):
            problem, w = of.problem(shape), of.weights(shape, kind)
            if form.fits(problem, w):
                parts = 2 if of.weight == "i16" else of.parts
                choice = forced(problem, w, form.name, tile, parts=parts, unit=unit)
                x = np.full((shape.batch, shape.h, shape.w, shape.c), of.act_max) if kind != "random" else None
                yield case_of(f"{form.name}/{of.act}{of.weight}/{name}/{kind}", problem, choice, w, x=x)
    if form.wide:
        yield from _longest(form)


def _longest(form: Form) -> Iterator[Case]:
    """As many products as int32 holds of the largest of each kind: low bytes of 255, high ones of 127 and of -128."""
    shape = Shape(LONGEST, 16, 1, 4)
    of = Operands("i16", "i16", 32768, -32768, 32767, "i16")
    for value in (32767, -128 * 256 + 255):
        problem, w = of.problem(shape), np.full(shape.weight_shape, value)
        x = np.full((1, 1, 4, LONGEST), value)
        x[0, 0, 1] = -value
        choice = forced(problem, w, form.name, (4, 16), parts=2, unit=(1, 1))
        yield case_of(f"{form.name}/longest sums/{value}", problem, choice, w, x=x)
