"""Convolutions to try kernels on: shapes at every edge, operands of every form, random and at their ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lowbit.errors import UnsupportedPrecision
from lowbit.kernels.case import NUMPY, Case, blank, physical, place
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.forms.form import Form
from lowbit.kernels.conv2d.pack import pack_weights
from lowbit.kernels.conv2d.reference import accumulate
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.conv2d.selection.select import describe
from lowbit.kernels.geometry import results_bounded
from lowbit.kernels.layout import FLOATS, Layout
from lowbit.kernels.named import named
from lowbit.kernels.table import KERNELS
from lowbit.kernels.winograd import reference as winograd
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.numerics.float_products import FLOAT32, FloatProducts
from lowbit.targets import Target

__all__ = ["SHAPES", "Operands", "Shape", "case_of", "cases", "forced", "operands"]

_ROUNDING = 2.0**-24


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


@dataclass(frozen=True)
class Shape:
    """Logical sizes.  ``padding``: top, left, bottom, right.  ``dense``: src.stride = c.  ``halo``: of the output.
    ``few``: residuals, where they are bytes, are 0 .. 15."""

    c: int
    n: int
    h: int = 1
    w: int = 1
    batch: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    dense: bool = False
    halo: tuple[int, int, int, int] = (0, 0, 0, 0)
    residual: bool = False
    few: bool = False
    dst: str = "u8"
    sign: bool = False

    @property
    def out(self) -> tuple[int, int]:
        top, left, bottom, right = self.padding
        return (
            (self.h + top + bottom - self.dilation[0] * (self.kernel[0] - 1) - 1) // self.stride[0] + 1,
            (self.w + left + right - self.dilation[1] * (self.kernel[1] - 1) - 1) // self.stride[1] + 1,
        )

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.n, *self.kernel, self.c // self.groups

    def problem(self, act: str, weight: str, act_max: int, src: str = "u8", acc_shift: int = 0) -> ConvProblem:
        physical_c, physical_n = self.c if self.dense else _round_up(self.c, 16), _round_up(self.n, 16)
        other = src if src in (*FLOATS, "i16") else "u8"
        return ConvProblem(
            layer="layer",
            op="conv2d",
            src=Layout(self.batch, self.h, self.w, self.c, physical_c, src, *self.padding),
            dst=Layout(self.batch, *self.out, self.n, physical_n, act if act in FLOATS else self.dst, *self.halo),
            residual=Layout(self.batch, *self.out, self.n, physical_n, other, 1, 0, 0, 1) if self.residual else None,
            few_residuals=self.few and other == "u8",
            kernel=self.kernel,
            stride=self.stride,
            dilation=self.dilation,
            padding=self.padding[:2],
            groups=self.groups,
            act=act,
            weight=weight,
            act_max=act_max,
            acc_shift=acc_shift,
            sign=self.sign and act not in FLOATS,
        )


# sizes 1, primes, tile - 1, tile, tile + 1 (tile 4 x 16 / 32), and every option at least once
SHAPES: tuple[tuple[Shape, tuple[int, int]], ...] = (
    (Shape(1, 1), (4, 16)),
    (Shape(7, 15, 1, 3), (4, 16)),
    (Shape(16, 16, 2, 2), (4, 16)),
    (Shape(33, 17, 1, 5, halo=(0, 1, 0, 1)), (4, 16)),
    (Shape(13, 33, 5, 7, kernel=(3, 3), padding=(1, 1, 1, 1), stride=(2, 2), halo=(1, 1, 1, 1), residual=True), (3, 32)),
    (Shape(3, 24, 11, 10, kernel=(7, 7), padding=(3, 2, 1, 3), stride=(2, 1), dense=True), (5, 16)),
    (Shape(32, 64, 4, 8, 2, kernel=(3, 3), padding=(1, 1, 1, 1), residual=True), (4, 32)),
    (Shape(5, 40, 6, 6, 2, kernel=(3, 2), dilation=(1, 2), padding=(2, 1, 0, 2)), (2, 32)),
    (Shape(64, 31, 3, 3, dst="f32", residual=True), (3, 16)),
    (Shape(19, 16, 3, 3, sign=True), (2, 16)),
    (Shape(48, 24, 5, 5, kernel=(3, 3), padding=(1, 1, 1, 1), groups=4), (4, 16)),
    (Shape(20, 112, 2, 5, residual=True, few=True), (3, 64)),  # four vectors of results and three, packed together
    (Shape(36, 96, 1, 3), (2, 48)),
)


@dataclass(frozen=True)
class Operands:
    """Types of the operands of a form, and the weights it holds whatever they are multiplied by."""

    act: str
    weight: str
    act_max: int
    low: int
    high: int
    src: str = "u8"
    acc_shift: int = 0
    parts: int = 1  # of a weight
    floats: FloatProducts = FLOAT32

    def problem(self, shape: Shape) -> ConvProblem:
        problem = shape.problem(self.act, self.weight, self.act_max, self.src, self.acc_shift)
        return replace(problem, floats=self.floats)

    def weights(self, shape: Shape, kind: str) -> np.ndarray:
        """``kind``: "random", "low" or "high": all at that end."""
        rng = np.random.default_rng(3)
        if self.act in FLOATS:
            return rng.standard_normal(shape.weight_shape).astype(NUMPY[self.act]).astype(np.float32)
        if kind == "random":
            w = rng.choice([-1, 1], shape.weight_shape) if self.weight == "b1" else None
            return rng.integers(self.low, self.high + 1, shape.weight_shape) if w is None else w
        return np.full(shape.weight_shape, self.low if kind == "low" else self.high)


def operands(form: Form) -> Operands:
    """The widest operands of ``form``."""
    if form.element in FLOATS:
        way, kind = form.asked or FLOAT32, "f32" if form.asked else form.element
        return Operands(kind, kind, 0, 0, 0, kind, parts=2 if form.asked else 1, floats=way)
    if form.bits == 1 or form.element == "bit":
        return Operands("b1", "b1", 1, -1, 1, acc_shift=1)
    if form.element == "index":
        return Operands("u2", "i2", 3, -2, 1)
    if form.element == "i4":
        return Operands("u4", "i4", 15, -8, 7) if form.bits == 4 else Operands("u8", "i4", 255, -8, 7)
    if form.element == "i2":
        return Operands("u8", "i2", 255, -2, 1)
    if form.words.paired and form.element == "i8":  # sums of two must fit a byte
        return Operands("u7", "i7", 127, -64, 63)
    if form.wide and form.reads == ("u8",) and not form.pack_kind:
        return Operands("u8", "i16", 255, -32768, 32767, parts=2)
    if form.wide or (form.rows == 1 and form.reads[0] == "i16"):
        return Operands("i16", "i8", 32767, -128, 127, "i16")
    widest = Operands("u8", "i8", 255, -128, 127)
    shape = Shape(4, 16)
    try:
        forced(widest.problem(shape), widest.weights(shape, "low"), form.name, (4, 16))
    except UnsupportedPrecision:  # two products of these do not fit its sums
        return Operands("u8", "i8", 255, -64, 64)
    return widest


def forced(
    problem: ConvProblem,
    weights: np.ndarray,
    form: str,
    tile: tuple[int, int],
    depth: int | None = None,
    parts: int = 1,
    unit: tuple[int, int] | None = None,
) -> Choice:
    """The choice of this form with this tile, small units, and (unless None) this depth."""
    mr, nr = tile
    whole = _round_up(nr, 64) if FORMS[form].element == "index" else nr
    tried, small = FORMS[form].tried(mr, whole)
    return describe(FORMS[form], problem, weights, tried, unit or small, depth, parts)


def cases(target: Target) -> Iterator[Case]:
    """Every form that ``target`` has, on every shape with random operands and on one with operands at their ends.  Of a target
    that emulates instructions those that need them: the others are another target's."""
    worst = Shape(48, 16, 3, 3, kernel=(3, 3), padding=(1, 1, 1, 1))
    for form in FORMS.values():
        if not form.available(target) or form.available(replace(target, emulated=frozenset())) == bool(target.emulated):
            continue
        types = operands(form)
        pad = 1 if types.act == "b1" else 0
        for number, (shape, tile) in enumerate(SHAPES):
            problem, w = types.problem(shape), types.weights(shape, "random")
            if form.fits(problem, w):
                choice = forced(problem, w, form.name, tile, parts=types.parts)
                yield case_of(f"{form.name}/{number}", problem, choice, w, pad=pad)
        for kind in ("low", "high"):
            problem, w = types.problem(worst), types.weights(worst, kind)
            x = np.full((1, 3, 3, 48), problem.act_max or 1)
            x[0, 1, 1] = 0
            if form.fits(problem, w):
                choice = forced(problem, w, form.name, (4, 16), parts=types.parts)
                yield case_of(f"{form.name}/{kind}", problem, choice, w, x=x)
        if form.cases:
            yield from named(form.cases)(form, target)


def case_of(name: str, problem: ConvProblem, choice: Choice, w: np.ndarray, x: np.ndarray | None = None, pad: float = 0) -> Case:
    """``choice`` on weights w (N, kh, kw, C / groups) and inputs x (n, h, w, C), random where None, with a halo of ``pad``:
    random bias and residual, and a scale that fills the output's range."""
    p, spec, rng = problem, choice.spec, np.random.default_rng(0)
    shape, integer = (p.src.n, p.src.h, p.src.w, p.src.c), p.act not in FLOATS
    if x is None:
        low = -p.act_max if p.src.dtype == "i16" else 0
        x = rng.integers(low, p.act_max + 1, shape) if integer else rng.standard_normal(shape)
    around = ((0, 0), (p.src.top, p.src.bottom), (p.src.left, p.src.right), (0, 0))
    padded = np.pad(x.astype(NUMPY[p.src.dtype]), around, constant_values=pad)
    acc, n, lanes = accumulate(p, padded, w), w.shape[0], spec.blocks * spec.nr
    spread = max(float(np.abs(acc).max()), 1.0)
    b = np.asarray(np.rint(rng.uniform(-0.3, 0.3, n) * spread) if integer else rng.standard_normal(n))
    r: np.ndarray | None = None
    if p.residual is not None:
        r = (rng.integers(0, 16 if p.few_residuals else 200, acc.shape) if integer else rng.standard_normal(acc.shape)).astype(
            NUMPY[p.residual.dtype]
        )
    tail = _tail(p)
    m = (rng.uniform(0.5, 2, n) * (130 if p.dst.dtype == "u8" else 9000) / spread / 2**p.acc_shift).astype(np.float32)

    memory: dict[str, np.ndarray] = {
        "x": _source(p, choice, padded),
        "w": np.frombuffer(pack_weights(w.reshape(n, -1), choice.packing), np.uint8),
        "o": blank(p.dst),
        "s": np.concatenate([m, np.zeros(lanes - n, np.float32), tail]) if integer else tail,
    }
    bias = np.zeros((1 + len(choice.bias_rows), lanes), np.float32 if not integer else np.float64 if p.wide else np.int32)
    bias[0, :n] = b + (choice.bias_offset if integer else 0)
    bias[1:, :n] = choice.bias_rows
    memory["b"] = bias
    if choice.table is not None:
        memory["t"] = choice.table
    if r is not None and p.residual is not None:
        memory["r"] = place(r, p.residual, 9)
    same = (spec.kernel, spec.stride) == (p.kernel, p.stride)  # else a layer of one tap, whose inputs lie side by side
    values: dict[str, np.ndarray | None] = {
        "x": padded if same else memory["x"].reshape(spec.src.n, spec.src.hp, spec.src.wp, spec.src.stride)[..., : spec.src.c],
        "w": w if same else w.reshape(n, 1, 1, -1),
        "b": b,
        "s": np.concatenate([m, tail]) if integer else tail,
        "r": r,
    }
    bound: np.ndarray | float = 0.0 if integer else _bound(spec, padded, w, np.abs(b) + (0 if r is None else np.abs(r)))
    bounded = integer and p.dst.dtype == "u8" and not p.wide and results_bounded(m, float(tail[-1]))
    return Case(name=name, spec=replace(spec, bounded=bounded), memory=memory, values=values, dst=p.dst, bound=bound)


def _tail(p: ConvProblem) -> np.ndarray:
    """lo, hi, zero, r_step, r_shift, r_multiplier; of floats lo and hi."""
    if p.act in FLOATS:
        return np.array([-1.5, 1e30], np.float32)
    lo, hi, zero = (-3, 250, 0 if p.sign else 3) if p.dst.dtype == "u8" else (-32000, 31000, 0)
    return np.array([lo, hi, zero, 2, -100, 0.37], np.float32)


def _source(p: ConvProblem, choice: Choice, padded: np.ndarray) -> np.ndarray:
    """What the kernel reads: ``padded`` in memory, packed where the form wants that."""
    memory = blank(p.src)
    physical(memory, p.src)[..., : p.src.c] = padded
    if choice.pack is None:
        return memory
    packed: Any = named(KERNELS[choice.pack.kind].reference)(choice.pack, physical(memory, p.src))
    whole = replace(
        choice.spec.src, h=choice.spec.src.hp, w=choice.spec.src.wp, c=packed.shape[3], top=0, left=0, bottom=0, right=0
    )
    return place(packed, whole)


def _bound(spec: Any, x: np.ndarray, w: np.ndarray, added: np.ndarray) -> np.ndarray:
    """gamma of the roundings of float32, times the sum of magnitudes (Higham, "Accuracy and Stability", 3.1).

    Of float16 three times that: a tensor core cuts off each of the 17 terms that an instruction adds at 2^-23 of the largest,
    2^-23 * 17 / 16 a product.  And half a unit in the last place of what is stored, 2^-25 where that is subnormal."""
    size, roundings = accumulate(spec, np.abs(x), np.abs(w)) + added, w[0].size + 2
    if not isinstance(spec, WinogradSpec) and FORMS[spec.form].sums:
        return np.zeros_like(size)  # bit for bit
    if isinstance(spec, WinogradSpec):
        size, roundings = winograd.size(spec, x, w) + size, spec.src.c + winograd.ROUNDINGS
    bound = np.asarray(roundings * _ROUNDING / (1 - roundings * _ROUNDING) * size)
    return bound if spec.act == "f32" else 3 * bound + (size + bound) * 2.0**-11 + 2.0**-25
