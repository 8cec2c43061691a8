"""Convolutions for tests: layouts, stored inputs, weights, the exact answer in numpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lowbit.kernels.conv2d.geometry import find_runs
from lowbit.kernels.conv2d.pack import pack_weights
from lowbit.kernels.forms import FORMS
from lowbit.kernels.layout import Layout
from lowbit.kernels.packing import Packing
from lowbit.kernels.spec import ConvSpec
from lowbit.targets import Target
from tests.kernels.harness import aligned, run_kernel

DTYPES = {"u8": np.uint8, "i16": np.int16, "f32": np.float32, "bits": np.uint8}


def round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


@dataclass
class Case:
    """A convolution: logical sizes, and how it is computed."""

    form: str
    c: int = 8
    n: int = 16
    h: int = 5
    w: int = 5
    batch: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    src: str = ""
    dst: str = "u8"
    mr: int = 4
    nr: int = 16
    depth: int = 1
    m_tiles: int = 3
    n_blocks: int = 2
    dense_src: bool = False  # src.stride = c, not a multiple of 16
    dst_halo: tuple[int, int, int, int] = (0, 0, 0, 0)
    residual: str = ""
    wide: bool = False
    parts: int = 1
    acc_shift: int = 0
    sign: bool = False
    weights: Any = None  # (n, kh, kw, c) logical
    x: Any = None  # (batch, h, w, c) stored
    seed: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> tuple[int, int]:
        top, left, bottom, right = self.padding
        kh, kw = self.kernel
        return (
            (self.h + top + bottom - self.dilation[0] * (kh - 1) - 1) // self.stride[0] + 1,
            (self.w + left + right - self.dilation[1] * (kw - 1) - 1) // self.stride[1] + 1,
        )

    def layouts(self) -> tuple[Layout, Layout, Layout | None]:
        dtype = self.src or FORMS[self.form].storage[0]
        stride = round_up(self.c, 32) // 8 if dtype == "bits" else self.c if self.dense_src else round_up(self.c, 16)
        src = Layout(self.batch, self.h, self.w, self.c, stride, dtype, *self.padding)
        oh, ow = self.out
        dst = Layout(self.batch, oh, ow, self.n, round_up(self.n, 16), self.dst, *self.dst_halo)
        residual = Layout(self.batch, oh, ow, self.n, round_up(self.n, 16), self.residual, 1, 0, 0, 1) if self.residual else None
        return src, dst, residual

    def spec(self) -> ConvSpec:
        src, dst, residual = self.layouts()
        values = dict(
            op="conv2d", src=src, dst=dst, residual=residual, kernel=self.kernel, stride=self.stride, dilation=self.dilation,
            padding=self.padding[:2], act="u8", weight="i8", form=self.form, k_group=FORMS[self.form].k_group,
            depth=self.depth, mr=self.mr, nr=self.nr, m_tiles=self.m_tiles, n_blocks=self.n_blocks,
            acc_shift=self.acc_shift, wide=self.wide, parts=self.parts, sign=self.sign,
        )  # fmt: skip
        return ConvSpec(**{**values, **self.extra})

    def packing(self, **more: Any) -> Packing:
        spec = self.spec()
        runs = find_runs(spec.src, spec.kernel, spec.dilation, spec.k_group)
        element = FORMS[self.form].element
        return Packing("panels", element, self.n, runs.count, runs.length, runs.padded, self.nr, spec.k_group, self.parts, **more)


def place(logical: np.ndarray, layout: Layout, pad: int | float, junk: int | float) -> np.ndarray:
    """NHWC values in a buffer of ``layout``: halo = ``pad``, physical channels beyond c = ``junk``."""
    dtype = DTYPES[layout.dtype]
    if layout.dtype == "bits":
        bits = np.zeros((layout.n, layout.hp, layout.wp, layout.stride * 8), np.uint8)
        bits[..., : layout.c] = pad
        bits[:, layout.top : layout.top + layout.h, layout.left : layout.left + layout.w, : layout.c] = logical
        return aligned(np.packbits(bits, axis=-1, bitorder="little"))
    full = np.full((layout.n, layout.hp, layout.wp, layout.stride), pad, dtype)
    full[..., layout.c :] = junk
    full[:, layout.top : layout.top + layout.h, layout.left : layout.left + layout.w, : layout.c] = logical
    return aligned(full)


def convolve(x: np.ndarray, w: np.ndarray, case: Case, pad: int | float = 0) -> np.ndarray:
    """sum x * w over taps and channels, in float64 (exact for integers below 2^53): (b, oh, ow, n)."""
    top, left, bottom, right = case.padding
    x = np.pad(x.astype(np.float64), ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=pad)
    oh, ow = case.out
    total = np.zeros((case.batch, oh, ow, w.shape[0]))
    for ky in range(case.kernel[0]):
        for kx in range(case.kernel[1]):
            y0, x0 = ky * case.dilation[0], kx * case.dilation[1]
            part = x[:, y0 : y0 + (oh - 1) * case.stride[0] + 1 : case.stride[0], x0 : x0 + (ow - 1) * case.stride[1] + 1 : case.stride[1]]
            total += np.einsum("bhwc,nc->bhwn", part, w[:, ky, kx].astype(np.float64), optimize=True)
    return total


def run_case(case: Case, target: Target, pad: int | float = 0, packing: Packing | None = None, t: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(kernel's output, expected output), logical NHWC.  Floats: expected is computed in float64."""
    spec, rng = case.spec(), np.random.default_rng(case.seed)
    bits = spec.src.dtype == "bits"
    x, w = case.x, case.weights
    if x is None:
        high = {"u8": 256, "bits": 2}.get(spec.src.dtype, 0)
        x = rng.integers(0, high, (case.batch, case.h, case.w, case.c)) if high else (
            rng.integers(-32768, 32768, (case.batch, case.h, case.w, case.c)) if spec.src.dtype == "i16"
            else rng.standard_normal((case.batch, case.h, case.w, case.c)).astype(np.float32))  # fmt: skip
    acc = convolve(x, w, case, pad)
    channels = spec.blocks * spec.nr
    if bits:
        pack_bias = (w > 0).sum((1, 2, 3))  # the kernel computes -popcount(x xor w)
    integer = case.form != "f32"
    spread = max(float(np.abs(acc).max()), 1.0)
    b = np.zeros(channels)
    b[: case.n] = np.rint(rng.uniform(-0.3, 0.3, case.n) * spread) if integer else rng.standard_normal(case.n)
    buffers: dict[str, np.ndarray] = {"x": place(x, spec.src, pad, 77 if spec.src.dtype != "f32" else 3.5)}
    buffers["w"] = aligned(np.frombuffer(pack_weights(w.reshape(case.n, -1), packing or case.packing()), np.uint8))
    if t is not None:
        buffers["t"] = aligned(t.astype(np.int32))
    r = None
    if spec.residual is not None:
        top = {"u8": 256, "i16": 30000}.get(case.residual, 0)
        shape = (case.batch, *case.out, case.n)
        r = rng.integers(0, top, shape) if top else rng.standard_normal(shape).astype(np.float32)
        buffers["r"] = place(r, spec.residual, 9, 5)
    out = np.full(spec.dst.elements, 0x5B, DTYPES[spec.dst.dtype])
    if integer:
        zero = 3.0 if not case.sign else 0.0
        qlo, qhi = (-3.0, 250.0) if case.dst == "u8" else (-32000.0, 32000.0)
        m = np.ones(channels, np.float32)
        m[: case.n] = (rng.uniform(0.5, 2, case.n) * (130 if case.dst == "u8" else 9000) / (spread * 2**case.acc_shift)).astype(np.float32)
        r_step, r_shift, r_m = np.float32(2), np.float32(-100), np.float32(0.37)
        total = acc * 2**case.acc_shift + b[: case.n]
        f = total.astype(np.float32) * m[: case.n]
        if r is not None:
            f = f + (r.astype(np.float32) * r_step + r_shift) * r_m
        if case.dst == "f32":
            want = np.clip(f, np.float32(qlo), np.float32(qhi))
        elif case.sign:
            want = (f >= 0).astype(np.int64)
        else:
            want = (np.clip(np.rint(f), qlo, qhi) + zero).astype(np.int64)
        stored_bias = b.copy()
        if bits:
            stored_bias[: case.n] += pack_bias * 2**case.acc_shift
        buffers["b"] = aligned(stored_bias.astype(np.float64 if case.wide else np.int32))
        buffers["s"] = aligned(np.concatenate([m, np.array([qlo, qhi, zero, r_step, r_shift, r_m], np.float32)]).astype(np.float32))
    else:
        want = acc + b[: case.n]
        if r is not None:
            want = want + r
        want = np.clip(want, -1.5, 1e30)
        buffers["b"] = aligned(b.astype(np.float32))
        buffers["s"] = aligned(np.array([-1.5, 1e30], np.float32))
    buffers["o"] = aligned(out)
    # two halves, in the wrong order: units are independent
    half = spec.units // 2
    run_kernel(spec, target, half, spec.units, **buffers)
    run_kernel(spec, target, 0, half, **buffers)
    full = buffers["o"].reshape(spec.dst.n, spec.dst.hp, spec.dst.wp, spec.dst.stride)
    d = spec.dst
    inner = full[:, d.top : d.top + d.h, d.left : d.left + d.w, : d.c]
    outside = full.copy()
    outside[:, d.top : d.top + d.h, d.left : d.left + d.w] = DTYPES[d.dtype](0x5B)
    assert (outside == DTYPES[d.dtype](0x5B)).all(), "the kernel wrote into the halo"
    return inner.astype(np.float64), np.asarray(want, np.float64)
