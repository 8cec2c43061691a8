"""Products to try: one row to hundreds, depths and widths that fill no vector, sums at the ends of int32 and beyond."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from lowbit.kernels.case import Case, blank, place, random_values, results
from lowbit.kernels.layout import Layout
from lowbit.kernels.matmul.forms import FORMS, MatmulForm, tile_of
from lowbit.kernels.matmul.reference import packed
from lowbit.kernels.matmul.spec import MatmulPackSpec, MatmulSpec
from lowbit.targets import Target

__all__ = ["matmul_cases", "pack_cases"]

#        n  M   K   N
_SHAPES = {
    "scores": (3, 49, 20, 49),
    "mixed": (2, 7, 49, 32),
    "one": (1, 1, 1, 1),
    "long": (1, 13, 300, 17),
    "wide": (1, 2, 6, 64),
}
_TYPES = {
    "bytes": (("u8", "u8", "u8"), ("u8", "u8", "i16")),
    "f64": (("i16", "u8", "u8"), ("i16", "i16", "i16"), ("u8", "i16", "i16"), ("f32", "f32", "f32")),
    "f32": (("f32", "f32", "f32"),),
}  # fmt: skip


def _forms(target: Target) -> Iterator[MatmulForm]:
    yield from (form for form in FORMS.values() if form.fits(target))


def _types(form: MatmulForm) -> tuple[tuple[str, str, str], ...]:
    return _TYPES.get(form.name, _TYPES["bytes"])


def _layout(n: int, rows: int, columns: int, dtype: str) -> Layout:
    return Layout(n, 1, rows, columns, -(-columns // 16) * 16, dtype)


def _panels(form: MatmulForm, n: int, depth: int, columns: int, nr: int) -> Layout:
    kinds = {"int8": "u8", "int16": "i16", "float32": "f32", "float64": "f64"}
    blocks, steps, width = -(-columns // nr), -(-depth // form.group), nr * form.group
    return Layout(n, blocks, steps, width, width, kinds[form.right])


def _pack(form: MatmulForm, shape: str, dtype: str, target: Target, transposed: bool) -> Case:
    n, m, depth, columns = _SHAPES[shape]
    _, nr = tile_of(form, target, m, columns)
    src = _layout(n, columns, depth, dtype) if transposed else _layout(n, depth, columns, dtype)
    dst = _panels(form, n, depth, columns, nr)
    x = random_values(np.random.default_rng(4), src)
    s = None if dtype == "f32" else np.array([1.0, -77.0], np.float32)
    return Case(
        name=f"{form.name}/{shape}/{dtype}" + "/transposed" * transposed,
        spec=MatmulPackSpec(src=src, dst=dst, form=form.name, depth=depth, columns=columns, nr=nr, transposed=transposed),
        memory={"x": place(x, src), "o": blank(dst)} | ({} if s is None else {"s": s}),
        values={"x": x, "s": s},
        dst=dst,
    )


def pack_cases(target: Target) -> Iterator[Case]:
    for form, shape, transposed in product(_forms(target), _SHAPES, (False, True)):
        for dtype in sorted({types[1] for types in _types(form)}):
            yield _pack(form, shape, dtype, target, transposed)


def matmul_cases(target: Target) -> Iterator[Case]:
    for form, shape in product(_forms(target), _SHAPES):
        for types in _types(form):
            yield _case(form, shape, types, target)
        if form.bytes:
            yield _case(form, shape, ("u8", "u8", "u8"), target, shifted=False)
        if form.total == "int32":
            yield _case(form, shape, ("u8", "u8", "u8"), target, ends=True)
            yield _case(form, shape, ("u8", "u8", "u8"), target, sign=True)


def _case(
    form: MatmulForm,
    shape: str,
    types: tuple[str, str, str],
    target: Target,
    shifted: bool = True,
    ends: bool = False,
    sign: bool = False,
) -> Case:
    n, m, depth, columns = _SHAPES[shape]
    mr, nr = tile_of(form, target, m, columns)
    src, dst = (_layout(n, m, width, dtype) for width, dtype in ((depth, types[0]), (columns, types[2])))
    dst = replace(dst, left=1, right=2)
    right = _layout(n, depth, columns, types[1])
    rng = np.random.default_rng(8)
    x, w = random_values(rng, src, 2 if sign else 256), random_values(rng, right, 2 if sign else 256)
    if ends:
        x, w = np.full_like(x, 255), np.full_like(w, 255)
    panels = _panels(form, n, depth, columns, nr)
    pack = MatmulPackSpec(src=right, dst=panels, form=form.name, depth=depth, columns=columns, nr=nr, transposed=False)
    if types[0] == "f32":
        s, pair = np.array([0.37], np.float32), None
    else:
        x_scalars = (2.0, -1.0) if sign else (1.0, {"u8": -120.0, "i16": 9.0}[types[0]] if shifted else 0.0)
        pair = (2.0, -1.0) if sign else (1.0, {"u8": -131.0, "i16": -5.0}[types[1]])
        reach = {"u8": 70.0, "i16": 15000.0}
        factor = reach[types[2]] / (depth**0.5 * reach[types[0]] * reach[types[1]]) * (0.1 if ends else 1)
        s = np.array([factor, *x_scalars, *pair, *results(types[2])], np.float32)
    memory = {
        "x": place(x, src), "w": place(packed(pack, w, pair), panels), "s": s, "o": blank(dst),
    }  # fmt: skip
    if form.bytes:
        memory["w"] = memory["w"].view(np.int8)
    spec = MatmulSpec(src=src, panels=panels, dst=dst, form=form.name, depth=depth, mr=mr, nr=nr, shifted=shifted, sign=sign)
    bound = 1e-6 * depth**0.5 * 4 if types[0] == "f32" else 0.0
    name = f"{form.name}/{shape}/{'_'.join(types)}" + "/unshifted" * (not shifted) + "/ends" * ends + "/sign" * sign
    return Case(name=name, spec=spec, memory=memory, values={"x": x, "w": w[:, 0], "s": s}, dst=dst, bound=bound)
