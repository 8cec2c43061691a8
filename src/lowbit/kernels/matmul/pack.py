"""MatmulPackSpec -> TensorIR."""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.matmul.forms import FORMS, MatmulForm
from lowbit.kernels.matmul.spec import MatmulPackSpec
from lowbit.kernels.rows import divided
from lowbit.kernels.vectors import LANES, convert, load, splat, store
from lowbit.targets import Target

__all__ = ["build", "element"]


def element(stored: Any, s: Any, dtype: str, centre: int, lanes: int) -> Any:
    """What is multiplied: stored bytes less ``centre``, or v = stored * step + shift, as ``dtype``; floats as they are.
    ``s``: (step, shift) as float32, None of floats."""
    if s is None:
        return convert(stored, dtype, lanes)
    if dtype in ("int8", "uint8"):
        kind = dtype if lanes == 1 else f"{dtype}x{lanes}"
        return T.reinterpret(kind, stored ^ splat(T.uint8(centre), "uint8", lanes))
    step, shift = s
    if dtype == "float64":
        real = convert(stored, "float32", lanes) * splat(step, "float32", lanes) + splat(shift, "float32", lanes)
        return convert(real, dtype, lanes)
    whole = convert(stored, "int32", lanes) * splat(T.cast(step, "int32"), "int32", lanes)
    return convert(whole + splat(T.cast(shift, "int32"), "int32", lanes), dtype, lanes)


def build(spec: MatmulPackSpec, target: Target) -> Any:
    """One block of columns a unit: where columns lie side by side, rows of a step interleaved in registers; else the rows of a
    step copied at once."""
    form, src, dst = FORMS[spec.form], spec.src, spec.dst
    dtype = TIR_DTYPE[src.dtype]
    pointers = {"x": (dtype, src.elements), "s": ("float32", 2), "o": (form.right, dst.elements)}
    with kernel_function(spec.symbol(target.name), **pointers) as k, TB.serial(k.lo, k.hi) as unit:
        image, block = divided(unit, dst.h)
        s = None if dtype == "float32" else (k.s[0], k.s[1])
        first = TB.Bind(block * spec.nr)
        if spec.transposed:
            _by_columns(k, spec, form, s, image, block, first)
        else:
            _by_rows(k, spec, form, s, image, block, first)
    return k.func


def _by_rows(k: Any, spec: MatmulPackSpec, form: MatmulForm, s: Any, image: Any, block: Any, first: Any) -> None:
    src, dst, group = spec.src, spec.dst, form.group
    whole, rest = divmod(spec.depth, group)

    def row(number: Any, chunk: int) -> Any:
        stored = load(k.x, src.offset(image, 0, number, first + chunk * LANES))
        value = element(stored, s, form.right, 128, LANES)
        if spec.columns % LANES == 0:
            return TB.Bind(value)
        inside = T.ramp(first + chunk * LANES, 1, LANES) < splat(spec.columns, "int32")
        return TB.Bind(T.Select(inside, value, _zero(form.right, LANES)))

    def step(number: Any, count: int) -> None:
        for chunk in range(spec.nr // LANES):
            rows = [row(number * group + g, chunk) if g < count else _zero(form.right, LANES) for g in range(group)]
            place = dst.offset(image, block, number, chunk * LANES * group)
            if group == 1:
                store(k.o, place, rows[0])
                continue
            order = [tirx.IntImm("int32", g * LANES + j) for j in range(LANES) for g in range(group)]
            store(k.o, place, tirx.Shuffle(rows, order), LANES * group)

    if whole:
        with TB.serial(whole) as number:
            step(number, group)
    if rest:
        step(T.int32(whole), rest)


def _zero(dtype: str, lanes: int) -> Any:
    return splat(getattr(T, dtype)(0), dtype, lanes)


def _by_columns(k: Any, spec: MatmulPackSpec, form: MatmulForm, s: Any, image: Any, block: Any, first: Any) -> None:
    src, dst, group = spec.src, spec.dst, form.group
    whole, rest = divmod(spec.depth, group)
    with TB.serial(spec.nr) as j:
        column = first + j
        with TB.If(column < spec.columns):
            with TB.Then():
                if whole:
                    with TB.serial(whole) as number:
                        stored = load(k.x, src.offset(image, 0, column, number * group), group)
                        place = dst.offset(image, block, number, j * group)
                        store(k.o, place, element(stored, s, form.right, 128, group), group)
                for g in range(group if rest else 0):
                    at = dst.offset(image, block, whole, j * group + g)
                    if g < rest:
                        stored = load(k.x, src.offset(image, 0, column, whole * group + g), 1)
                        store(k.o, at, element(stored, s, form.right, 128, 1), 1)
                    else:
                        store(k.o, at, _zero(form.right, 1), 1)
            with TB.Else(), TB.serial(dst.w) as number:
                for g in range(group):
                    store(k.o, dst.offset(image, block, number, j * group + g), _zero(form.right, 1), 1)
