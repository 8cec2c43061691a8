"""Convolutions for tests: a logical problem, the kernel's buffers, the exact answer in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.pack import pack_weights
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.conv2d.selection.select import describe
from lowbit.kernels.data_movement.reference import packed_fields
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import PackFieldsSpec, PackPairsSpec, WinogradSpec
from lowbit.kernels.winograd.transforms import MATRICES
from lowbit.targets import Target
from tests.kernels.harness import aligned, run_kernel

DTYPES = {"u8": np.uint8, "i16": np.int16, "f32": np.float32, "bits": np.uint8}
FILL = 0x5B  # what outputs hold before the call
ROUNDING = 2.0**-24


def round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


@dataclass(frozen=True)
class Shape:
    """Logical sizes.  ``padding``: top, left, bottom, right.  ``dense``: src.stride = c."""

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
    halo: tuple[int, int, int, int] = (0, 0, 0, 0)  # of the output
    residual: bool = False
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
        dst = "f32" if act == "f32" else self.dst
        source = Layout(self.batch, self.h, self.w, self.c, self.c if self.dense else round_up(self.c, 16), src, *self.padding)
        sink = Layout(self.batch, *self.out, self.n, round_up(self.n, 16), dst, *self.halo)
        other = None
        if self.residual:
            kind = {"f32": "f32", "i16": "i16"}.get(src, "u8")
            other = Layout(self.batch, *self.out, self.n, round_up(self.n, 16), kind, 1, 0, 0, 1)
        return ConvProblem(
            "layer", "conv2d", source, sink, other, self.kernel, self.stride, self.dilation, self.padding[:2], self.groups,
            act, weight, act_max, acc_shift, self.sign and act != "f32",
        )  # fmt: skip


def forced(
    problem: ConvProblem, weights: np.ndarray, form: str, tile: tuple[int, int], depth: int | None = None, parts: int = 1
) -> Choice:
    """The choice of this form with this tile, small units, and (unless None) this depth."""
    mr, nr = tile
    return describe(
        FORMS[form], problem, weights, (mr, 64 * -(-nr // 64) if form.startswith("lut") else nr), (3, 2), depth, parts
    )


def place(logical: np.ndarray, layout: Layout, pad: float, junk: float) -> np.ndarray:
    """NHWC values in a buffer of ``layout``: halo = ``pad``, physical channels beyond c = ``junk``."""
    inner = np.s_[:, layout.top : layout.top + layout.h, layout.left : layout.left + layout.w, : layout.c]
    if layout.dtype == "bits":
        bits = np.zeros((layout.n, layout.hp, layout.wp, layout.stride * 8), np.uint8)
        bits[..., : layout.c] = pad
        bits[inner] = logical
        return aligned(np.packbits(bits, axis=-1, bitorder="little"))
    full = np.full((layout.n, layout.hp, layout.wp, layout.stride), pad, DTYPES[layout.dtype])
    full[..., layout.c :] = junk
    full[inner] = logical
    return aligned(full)


def convolve(x: np.ndarray, w: np.ndarray, p: ConvProblem, pad: float) -> np.ndarray:
    """sum x * w in float64, exact for integers below 2^53: (batch, h, w, n)."""
    s = p.src
    x = np.pad(x.astype(np.float64), ((0, 0), (s.top, s.bottom), (s.left, s.right), (0, 0)), constant_values=pad)
    total = np.zeros((p.dst.n, p.dst.h, p.dst.w, w.shape[0]))
    per_group, outputs = w.shape[3], w.shape[0] // p.groups
    for ky in range(p.kernel[0]):
        for kx in range(p.kernel[1]):
            rows = slice(ky * p.dilation[0], ky * p.dilation[0] + (p.dst.h - 1) * p.stride[0] + 1, p.stride[0])
            columns = slice(kx * p.dilation[1], kx * p.dilation[1] + (p.dst.w - 1) * p.stride[1] + 1, p.stride[1])
            for g in range(p.groups):
                part = x[:, rows, columns, g * per_group : (g + 1) * per_group]
                chosen = slice(g * outputs, (g + 1) * outputs)
                total[..., chosen] += part @ w[chosen, ky, kx].astype(np.float64).T
    return total


def random_input(p: ConvProblem, rng: np.random.Generator) -> np.ndarray:
    size = (p.src.n, p.src.h, p.src.w, p.src.c)
    if p.src.dtype == "f32":
        return rng.standard_normal(size).astype(np.float32)
    return rng.integers(-p.act_max if p.src.dtype == "i16" else 0, p.act_max + 1, size).clip(-32768, 32767)


def check(
    p: ConvProblem, choice: Choice, w: np.ndarray, target: Target, x: np.ndarray | None = None, pad: float = 0, seed: int = 0
) -> None:
    """Run the kernel and compare: integers one for one, float32 within gamma(K + 2)."""
    spec, rng = choice.spec, np.random.default_rng(seed)
    x = random_input(p, rng) if x is None else x
    acc = convolve(x, w, p, pad)
    n, channels, integer = w.shape[0], spec.blocks * spec.nr, spec.form != "f32"
    spread = max(float(np.abs(acc).max()), 1.0)
    bias = np.rint(rng.uniform(-0.3, 0.3, n) * spread) if integer else rng.standard_normal(n)
    buffers = {
        "x": place(x, p.src if choice.pack is not None and spec.src.dtype != "bits" else spec.src, pad, 77 if integer else 3.5),
        "w": aligned(np.frombuffer(pack_weights(w.reshape(n, -1), choice.packing), np.uint8)),
        "o": aligned(np.full(p.dst.elements, FILL, DTYPES[p.dst.dtype])),
    }
    if isinstance(choice.pack, PackFieldsSpec):
        pixels = buffers["x"].reshape(p.src.n, p.src.hp, p.src.wp, p.src.stride)
        packed = np.full((p.src.n, p.src.hp, p.src.wp, spec.src.stride), 0xFF, np.uint8)
        packed[..., : spec.src.c] = packed_fields(choice.pack, pixels)
        buffers["x"] = aligned(packed)
    if isinstance(choice.pack, PackPairsSpec):
        rows = place(x, p.src, pad, 77)
        buffers["x"] = aligned(np.full(spec.src.elements, 0x5A, DTYPES[spec.src.dtype]))
        run_kernel(choice.pack, target, x=rows, o=buffers["x"])
    if choice.table is not None:
        buffers["t"] = aligned(choice.table)
    residual = None
    if p.residual is not None:
        shape = (p.dst.n, p.dst.h, p.dst.w, n)
        residual = rng.integers(0, 200, shape) if integer else rng.standard_normal(shape).astype(np.float32)
        buffers["r"] = place(residual, p.residual, 9, 5)
    b = np.zeros((1 + len(choice.bias_rows), channels), np.float32 if not integer else np.float64 if p.wide else np.int32)
    b[0, :n] = bias + (choice.bias_offset if integer else 0)
    b[1:, :n] = choice.bias_rows
    buffers["b"] = aligned(b)
    if spec.scratch_bytes:
        buffers["t"] = aligned(rng.integers(0, 256, spec.scratch_bytes, np.uint8))  # may hold anything
    if integer:
        s, want = integer_result(acc * 2**p.acc_shift + bias, residual, p, channels, rng, spread * 2**p.acc_shift)
        bound = 0.0
    else:
        s = np.array([-1.5, 1e30], np.float32)
        total = acc + bias + (0 if residual is None else residual)
        want = np.clip(total, -1.5, 1e30)
        size = convolve(np.abs(x), np.abs(w), p, abs(pad)) + np.abs(bias) + (0 if residual is None else np.abs(residual))
        roundings = w[0].size + 2
        if isinstance(spec, WinogradSpec):
            roundings, size = spec.src.c + WINOGRAD_ROUNDINGS, winograd_size(x, w, p, spec.m) + size
        bound = roundings * ROUNDING / (1 - roundings * ROUNDING) * size
    buffers["s"] = aligned(s)
    half = spec.units // 2
    run_kernel(spec, target, half, spec.units, **buffers)  # units are independent: any order will do
    run_kernel(spec, target, 0, half, **buffers)
    got, outside = split_halo(buffers["o"], p.dst)
    assert (outside == DTYPES[p.dst.dtype](FILL)).all(), "the kernel wrote into the halo"
    wrong = np.abs(got[..., :n].astype(np.float64) - want) > bound
    assert not wrong.any(), f"{spec.form}: {wrong.sum()} of {wrong.size} differ, first at {np.argwhere(wrong)[0]}"


WINOGRAD_ROUNDINGS = 4 * 5 + 2 * 3 + 3  # of B^T d B and A^T M A (5 a row and column), of G w G^T, of 1 / scale^2 and bias


def winograd_size(x: np.ndarray, w: np.ndarray, p: ConvProblem, m: int) -> np.ndarray:
    """|A^T| ((|G| |w| |G^T|) * (|B^T| |x| |B|)) |A| / scale^2: what a relative error of each operation grows to
    (Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution", 2020, theorem 2)."""
    at, g, bt, scale = MATRICES[m].at, MATRICES[m].g, MATRICES[m].bt, MATRICES[m].scale
    s = p.src
    padded = np.pad(np.abs(x).astype(np.float64), ((0, 0), (s.top, s.bottom + m), (s.left, s.right + m), (0, 0)))
    u = np.einsum("ik,nklc,jl->ijnc", abs(g), np.abs(w).astype(np.float64), abs(g))
    out = np.zeros((p.dst.n, p.dst.h, p.dst.w, w.shape[0]))
    for y in [min(y, p.dst.h - m) for y in range(0, p.dst.h, m)]:
        for z in [min(z, p.dst.w - m) for z in range(0, p.dst.w, m)]:
            d = padded[:, y : y + m + 2, z : z + m + 2]
            v = np.einsum("ik,bklc,jl->ijbc", abs(bt), d, abs(bt))
            products = np.einsum("ijbc,ijnc->ijbn", v, u)
            out[:, y : y + m, z : z + m] = np.einsum("ki,ijbn,lj->bkln", abs(at), products, abs(at)) / scale**2
    return out


def integer_result(
    total: np.ndarray, residual: np.ndarray | None, p: ConvProblem, channels: int, rng: np.random.Generator, spread: float
) -> tuple[np.ndarray, np.ndarray]:
    """The kernel's s, and the stored results of the exact sums ``total``."""
    n = total.shape[-1]
    reach, zero = (130, 3.0) if p.dst.dtype == "u8" else (9000, 0.0)
    lo, hi = (-3.0, 250.0) if p.dst.dtype == "u8" else (-32000.0, 31000.0)
    step, shift, factor = np.float32(2), np.float32(-100), np.float32(0.37)
    m = np.zeros(channels, np.float32)
    m[:n] = (rng.uniform(0.5, 2, n) * reach / spread).astype(np.float32)
    f = total.astype(np.float32) * m[:n]
    if residual is not None:
        f = f + (residual.astype(np.float32) * step + shift) * factor
    if p.dst.dtype == "f32":
        want = np.clip(f, np.float32(lo), np.float32(hi))
    elif p.sign:
        want = f >= 0
    else:
        want = np.clip(np.rint(f), lo, hi) + zero
    return np.concatenate([m, np.array([lo, hi, zero, step, shift, factor], np.float32)]), want.astype(np.float64)


def split_halo(buffer: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """(the pixels, everything else) of a buffer."""
    full = buffer.reshape(layout.n, layout.hp, layout.wp, layout.stride)
    inside = np.zeros(full.shape[:3], bool)
    inside[:, layout.top : layout.top + layout.h, layout.left : layout.left + layout.w] = True
    return full[inside].reshape(layout.n, layout.h, layout.w, layout.stride), full[~inside]
