"""Elementwise kernels to try: every function, every mixture of types, broadcasts, whole tables, whole domains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from lowbit.graph.ops import UNARY
from lowbit.kernels.case import NUMPY, Case, blank, place, random_values, results
from lowbit.kernels.elementwise.parameters import PARAMETERS
from lowbit.kernels.elementwise.reference import unary
from lowbit.kernels.elementwise.spec import BinarySpec, LutSpec, UnarySpec
from lowbit.kernels.layout import Layout
from lowbit.targets import Target

__all__ = ["binary_cases", "lut_cases", "parameters", "unary_cases"]

_HALO = (1, 2, 1, 1)
_SHAPES = {  # of the operands and the result
    "image": (Layout(1, 5, 7, 24, 32), Layout(1, 5, 7, 24, 32), Layout(1, 5, 7, 24, 32)),
    "batch_halo": (Layout(2, 3, 5, 16, 16, "u8", *_HALO), Layout(2, 3, 5, 16, 16, top=2), Layout(2, 3, 5, 16, 16, left=1)),
    "strides": (Layout(1, 2, 3, 20, 32), Layout(1, 2, 3, 20, 48, "u8", *_HALO), Layout(1, 2, 3, 20, 64)),
    "narrow_source": (Layout(2, 2, 3, 3, 3), Layout(2, 2, 3, 3, 16), Layout(2, 2, 3, 3, 16, "u8", *_HALO)),
    "one_pixel": (Layout(1, 1, 1, 1, 16), Layout(1, 1, 1, 1, 16), Layout(1, 1, 1, 1, 16)),
}
_MIXED = (("u8", "u8", "u8"), ("i16", "u8", "u8"), ("u8", "i16", "i16"), ("i16", "i16", "u8"))
_FUNCTIONS = ("add", "sub", "maximum", "minimum", "mul", "affine", "rescale")


def binary_cases(target: Target) -> Iterator[Case]:
    for shape, fn, dtypes in product(_SHAPES, _FUNCTIONS, (*_MIXED, ("f32", "f32", "f32"))):
        src, other, dst = (replace(layout, dtype=d) for layout, d in zip(_SHAPES[shape], dtypes, strict=True))
        yield _binary(f"{fn}/{shape}/{'_'.join(dtypes)}", fn, src, other, dst)
    for fn, images, dtype in product(("add", "mul"), (1, 2), ("u8", "f32")):
        src, dst = Layout(2, 3, 5, 40, 48, dtype), Layout(2, 3, 5, 40, 48, dtype, *_HALO)
        yield _binary(f"{fn}/pixel{images}/{dtype}", fn, src, Layout(images, 1, 1, 40, 48, dtype), dst, broadcast="pixel")
    for fn in ("add", "maximum", "mul", "affine", "rescale"):
        src = Layout(1, 3, 4, 20, 32)
        yield _binary(f"{fn}/sign", fn, src, src, src, sign=True)


def _binary(name: str, fn: str, src: Layout, other: Layout, dst: Layout, broadcast: str = "none", sign: bool = False) -> Case:
    two, rng = fn not in ("affine", "rescale"), np.random.default_rng(7)
    spec = BinarySpec(fn=fn, src=src, other=other if two else None, dst=dst, broadcast=broadcast, sign=sign)
    x, r = (random_values(rng, layout, 2 if sign else 256) for layout in (src, other))
    if dst.dtype == "f32":
        s, w, b = np.array([-1.25, np.inf], np.float32), *rng.standard_normal((2, dst.stride)).astype(np.float32)
    elif sign:  # b1 operands; sums that are exactly 0 give +1
        s = np.array([2, -1, 0.5, 2, -1, 0.5, -1, 1, 0], np.float32)
        w, b = np.full((2, dst.stride), [[0.5], [-0.5]], np.float32)
    else:
        s = np.array(_scales(fn, dst.dtype, src.dtype, other.dtype), np.float32)
        w, b = rng.normal(s[2], 0.01, dst.stride).astype(np.float32), rng.normal(0, 5, dst.stride).astype(np.float32)
    memory, values = {"x": place(x, src), "s": s, "o": blank(dst)}, {"x": x, "s": s}
    if two:
        memory["r"], values["r"] = place(r, other), r
    if fn == "affine":
        memory |= {"w": w, "b": b}
        values |= {"w": w[: dst.c], "b": b[: dst.c]}
    return Case(name=name, spec=spec, memory=memory, values=values, dst=dst)


def _scales(fn: str, dtype: str, x_dtype: str, r_dtype: str) -> list[float]:
    """Parameters that reach both clamps and leave most results between them."""
    x_shift = -3.0 if x_dtype == "i16" else -128.0
    r_shift = 5.0 if r_dtype == "i16" else -17.0
    spread = {"u8": 1.0, "i16": 40.0}[dtype] / (150.0 if x_dtype == "i16" else 0.9)
    x_mult = spread * 0.7371 / (200.0 if fn == "mul" and r_dtype != "i16" else 9000.0 if fn == "mul" else 1.0)
    r_mult = {"u8": 1.0, "i16": 40.0}[dtype] / (150.0 if r_dtype == "i16" else 0.9) * 0.4243
    return [1.0, x_shift, x_mult, 1.0, r_shift, -r_mult if fn == "sub" else r_mult, *results(dtype)]


def lut_cases(target: Target) -> Iterator[Case]:
    """Every index of every pair of types, and odd layouts."""
    for source, result in product(("u8", "i16"), ("u8", "i16", "f32")):
        src, dst = Layout(1, 32, 32, 64, 64, source), Layout(1, 32, 32, 64, 64, result, 1, 1, 1, 1)
        first, levels = (-32768, 65536) if source == "i16" else (0, 256)
        x = (first + np.arange(65536) % levels).astype(NUMPY[source])
        yield _lut(f"{source}_{result}", src, dst, x.reshape(1, 32, 32, 64))
    for n, h, w, c, src_stride, dst_stride in ((2, 3, 5, 20, 32, 48), (1, 1, 1, 1, 16, 16), (2, 2, 3, 3, 3, 16)):
        src, dst = Layout(n, h, w, c, src_stride, top=1), Layout(n, h, w, c, dst_stride, left=1, bottom=1)
        yield _lut(f"layout{c}", src, dst, random_values(np.random.default_rng(1), src))


def _lut(name: str, src: Layout, dst: Layout, x: np.ndarray) -> Case:
    levels = 65536 if src.dtype == "i16" else 256
    w = np.random.default_rng(0).integers(-32768, 32768, levels).astype(NUMPY[dst.dtype])
    memory = {"x": place(x, src), "w": w, "o": blank(dst)}
    return Case(name=name, spec=LutSpec(src=src, dst=dst), memory=memory, values={"x": x, "w": w}, dst=dst)


# 1e-6 relative of float64 (4 units in the last place are 2.4e-7 to 4.8e-7), and below the smallest normal
# float32 only its spacing
_RELATIVE, _ABSOLUTE = 1e-6, 4e-45
_LOOSE = {"sin": 3e-8, "cos": 3e-8}  # absolute, near their zeros
_LOOSE |= {"gelu": 1e-15, "gelu_tanh": 1e-15}  # numpy's 1 + erf cancels to nothing far below zero
_REACH = {"exp": 86, "sin": 1e4, "cos": 1e4, "softplus": 30, "gelu": 12.5, "gelu_tanh": 9.0}
_REACH |= dict.fromkeys(("logsigmoid", "mish", "silu", "sigmoid"), 85)
_VALUES = {"alpha": 0.3, "beta": 2.5, "exponent": 3.0, "threshold": 20.0, "lo": -1.5, "hi": 2.25}


def parameters(fn: str) -> np.ndarray | None:
    """The ``s`` that functions are tried with; None for those that take none."""
    values = [_VALUES[name] for name, _ in PARAMETERS.get(fn, ())]
    return np.array(values, np.float32) if values else None


def unary_cases(target: Target) -> Iterator[Case]:
    """Every function over its domain."""
    layout = Layout(2, 4, 8, 64, 64, "f32")
    src, dst = Layout(2, 3, 5, 20, 32, "f32", top=1), Layout(2, 3, 5, 20, 48, "f32", left=1, bottom=1)
    for fn in (*UNARY, "clamp"):
        x = np.ones(layout.pixels * layout.c, np.float32)
        x[:4096] = _domain(fn)
        yield _unary(fn, fn, layout, layout, x.reshape(2, 4, 8, 64))
    yield _unary("layouts", "neg", src, dst, random_values(np.random.default_rng(0), src))


def _unary(name: str, fn: str, src: Layout, dst: Layout, x: np.ndarray) -> Case:
    s, spec = parameters(fn), UnarySpec(fn=fn, src=src, dst=dst)
    memory = {"x": place(x, src), "o": blank(dst)} | ({} if s is None else {"s": s})
    bound = _RELATIVE * np.abs(unary(spec, x, s)) + _LOOSE.get(fn, 0) + _ABSOLUTE
    return Case(name=name, spec=spec, memory=memory, values={"x": x, "s": s}, dst=dst, bound=bound)


def _domain(fn: str) -> np.ndarray:
    """4096 numbers."""
    rng = np.random.default_rng(0)
    if fn in ("log", "rsqrt", "sqrt"):
        return np.concatenate([2.0 ** rng.uniform(-140, 127, 3000), rng.uniform(0.5, 2, 1096)])
    tiny, middle = rng.choice([-1, 1], 1096) * 2.0 ** rng.uniform(-60, 0, 1096), rng.uniform(-1, 1, 1000)
    if fn == "log1p":
        return np.concatenate([tiny * 0.999, rng.uniform(-0.999, 3, 2000), 2.0 ** rng.uniform(0, 100, 1000)])
    return np.concatenate([tiny, rng.uniform(-_REACH.get(fn, 12), _REACH.get(fn, 12), 2000), middle])
