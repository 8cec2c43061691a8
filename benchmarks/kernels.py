"""Speed of the convolution kernels, one thread, each row checked against numpy first.

    PYTHONPATH=src python benchmarks/kernels.py [--target NAME ...] [--types u8i8 f32 ...] [--shape 3x3 ...] [--tile MRxNR]

GMAC/s are the best and the median of the repeats, weights warm in cache; ``exact`` means that every
output equals the integer reference (f32: the largest error relative to the largest output).
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from lowbit.backend.codegen import generate
from lowbit.errors import UnsupportedPrecision
from lowbit.kernels.conv2d.pack import pack_weights
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.conv2d.selection.select import choose
from lowbit.kernels.layout import Layout
from lowbit.targets import Target, find_target

# name: input channels, output channels, input size, kernel, stride
SHAPES = {
    "conv1_7x7s2": (3, 64, 224, 7, 2),
    "1x1_56_64_256": (64, 256, 56, 1, 1),
    "1x1_56_256_64": (256, 64, 56, 1, 1),
    "3x3_56_64": (64, 64, 56, 3, 1),
    "3x3_28_128": (128, 128, 28, 3, 1),
    "1x1_28_512_128": (512, 128, 28, 1, 1),
    "3x3s2_28_128": (128, 128, 56, 3, 2),
    "3x3_28_24_96": (24, 96, 28, 3, 1),
    "3x3_14_256": (256, 256, 14, 3, 1),
    "1x1_14_1024_256": (1024, 256, 14, 1, 1),
    "3x3_7_512": (512, 512, 7, 3, 1),
    "1x1_7_2048_512": (2048, 512, 7, 1, 1),
    "fc_2048_1000": (2048, 1000, 1, 1, 1),
}

# name: act, weight, smallest and largest weight, largest stored input, source dtype
TYPES = {
    "f32": ("f32", "f32", 0, 0, 0, "f32"),
    "u8i8": ("u8", "i8", -127, 127, 255, "u8"),
    "u8i8gauss": ("u8", "i8", -127, 127, 255, "u8"),  # bell-shaped, as trained weights are
    "u8i7": ("u8", "i7", -63, 63, 255, "u8"),
    "u8i6": ("u8", "i6", -31, 31, 255, "u8"),
    "u8i4": ("u8", "i4", -8, 7, 255, "u8"),
    "u4i4": ("u4", "i4", -8, 7, 15, "u8"),
    "u2i2": ("u2", "i2", -2, 1, 3, "u8"),
    "u1b1": ("u1", "b1", -1, 1, 1, "u8"),
    "i16i8": ("i16", "i8", -127, 127, 32768, "i16"),
    "i16i16": ("i16", "i16", -32767, 32767, 32768, "i16"),
}
FOLDER = tempfile.TemporaryDirectory(prefix="lowbit-bench-")


def aligned(array: np.ndarray) -> np.ndarray:
    raw = np.zeros(array.nbytes + 192, np.uint8)
    start = -raw.ctypes.data % 64 + 64
    view = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def problem(shape: str, types: str) -> ConvProblem:
    c, n, size, k, stride = SHAPES[shape]
    act, weight, _, _, top, dtype = TYPES[types]
    pad = k // 2
    src = Layout(1, size, size, c, c if c < 16 else -(-c // 16) * 16, dtype, pad, pad, pad, pad)
    out = (size + 2 * pad - k) // stride + 1
    dst = Layout(1, out, out, n, -(-n // 16) * 16, "f32" if dtype == "f32" else "u8")
    return ConvProblem(
        layer=shape,
        op="conv2d",
        src=src,
        dst=dst,
        residual=None,
        kernel=(k, k),
        stride=(stride, stride),
        dilation=(1, 1),
        padding=(pad, pad),
        groups=1,
        act=act,
        weight=weight,
        act_max=top,
    )


def operands(types: str, size: tuple[int, ...], full: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random input (h, w, c) and weights (N, kh, kw, C)."""
    _, weight, lo, hi, top, dtype = TYPES[types]
    if dtype == "f32":
        return rng.standard_normal(size).astype(np.float32), rng.standard_normal(full).astype(np.float32)
    x = rng.integers(0, top + 1, size).astype(np.uint8) if dtype == "u8" else rng.integers(-top, top, size).astype(np.int16)
    if types.endswith("gauss"):
        return x, np.rint(rng.normal(0, hi / 4, full)).clip(lo, hi).astype(np.int64)
    return x, rng.choice([-1, 1], full) if weight == "b1" else rng.integers(lo, hi + 1, full)


def reference(x: np.ndarray, w: np.ndarray, p: ConvProblem) -> np.ndarray:
    """sum x * w in float64 (exact for integers): (pixels, N)."""
    pad, (k, _), s = p.padding[0], p.kernel, p.stride[0]
    x = np.pad(x.astype(np.float64), ((pad, pad), (pad, pad), (0, 0)))
    h, wd = p.dst.h, p.dst.w
    total = np.zeros((h * wd, w.shape[0]))
    for ky in range(k):
        for kx in range(k):
            part = x[ky : ky + (h - 1) * s + 1 : s, kx : kx + (wd - 1) * s + 1 : s].reshape(h * wd, -1)
            total += part @ w[:, ky, kx].astype(np.float64).T
    return total


def load(spec: object, target: Target) -> object:
    made = generate(spec, target)
    path = Path(FOLDER.name) / f"{made.symbol}.so"
    path.with_suffix(".o").write_bytes(made.object)
    subprocess.run(["cc", "-shared", "-nostdlib", "-o", str(path), str(path.with_suffix(".o"))], check=True)
    function = getattr(ctypes.CDLL(str(path)), made.symbol)
    function.argtypes = [ctypes.c_void_p] * 7 + [ctypes.c_int32] * 2
    return function


def measure(p: ConvProblem, choice: Choice, x: np.ndarray, w: np.ndarray, target: Target, seconds: float) -> str:
    spec, rng = choice.spec, np.random.default_rng(2)
    src, n = spec.src, w.shape[0]
    pad = p.padding[0]
    stored = np.zeros((p.src.hp, p.src.wp, p.src.stride), x.dtype)
    stored[pad : pad + src.h, pad : pad + src.w, : p.src.c] = x
    stored = aligned(stored)
    pack_us = 0.0
    if choice.pack is not None:
        packed, pack = aligned(np.zeros(src.nbytes + 64, np.uint8)), load(choice.pack, target)
        pack_us = best_of(lambda: pack(stored.ctypes.data, *[None] * 5, packed.ctypes.data, 0, choice.pack.units)) * 1e6
        stored = packed
    acc = reference(x, w, p)
    channels = spec.blocks * spec.nr
    bias = np.zeros(channels)
    if spec.form == "f32":
        s = np.array([-np.inf, np.inf], np.float32)
        want = acc
        b = bias.astype(np.float32)
    else:
        m = np.ones(channels, np.float32)
        m[:n] = (rng.uniform(0.5, 2, n) * 90 / max(acc.std(), 1)).astype(np.float32)
        s = np.concatenate([m, np.array([0, 255, 0, 1, 0, 0], np.float32)])
        want = np.clip(np.rint(acc.astype(np.float32) * m[:n]), 0, 255)
        bias[:n] = choice.bias_offset
        b = bias.astype(np.float64 if spec.wide else np.int32)
    out = aligned(np.zeros((spec.dst.pixels, spec.dst.stride), np.float32 if spec.form == "f32" else np.uint8))
    weights = aligned(np.frombuffer(pack_weights(w.reshape(n, -1), choice.packing), np.uint8))
    table = None if choice.table is None else aligned(choice.table)
    arrays = [stored, None, weights, aligned(b), aligned(s), table, out]
    function = load(spec, target)
    pointers = [None if a is None else a.ctypes.data for a in arrays]

    def call() -> None:
        function(*pointers, 0, spec.units)

    call()
    got = out[:, :n].astype(np.float64)
    if spec.form == "f32":
        check = f"rel {np.abs(got - want).max() / np.abs(want).max():.1e}"
    else:
        wrong = int((got != want).sum())
        check = "exact" if not wrong else f"WRONG {wrong}/{want.size}"
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    inner = max(1, int(0.0005 / once))  # short enough to fit between interruptions
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        for _ in range(inner):
            call()
        times.append((time.perf_counter() - start) / inner)
    macs = p.dst.pixels * w.size
    best, median = min(times), float(np.median(times))
    tile = f"{spec.mr}x{spec.nr} u{spec.m_tiles}x{spec.n_blocks}"
    form = spec.form + (f" d{spec.depth}" if spec.depth != 1 else "") + (f" +{choice.split:.0%}" if choice.split else "")
    return f"{form:18s} {tile:16s} {macs / best / 1e9:8.1f} {macs / median / 1e9:8.1f} {best * 1e6:9.1f} us  {check}" + (
        f"  (and {pack_us:.1f} us to pack the input)" if pack_us else ""
    )


def best_of(call: Callable[[], None], repeats: int = 50) -> float:
    """Seconds of the fastest call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", nargs="*", default=["native"])
    parser.add_argument("--types", nargs="*", default=list(TYPES), choices=TYPES)
    parser.add_argument("--shape", nargs="*", default=[""], help="parts of shape names")
    parser.add_argument("--tile", nargs="*", default=[""], help="tiles to force, e.g. 6x16")
    parser.add_argument("--seconds", type=float, default=0.2)
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    for target in map(find_target, args.target):
        for types in args.types:
            for shape in (s for s in SHAPES if any(part in s for part in args.shape)):
                p = problem(shape, types)
                full = (SHAPES[shape][1], *p.kernel, SHAPES[shape][0])
                size = (p.src.h, p.src.w, p.src.c)
                x, w = operands(types, size, full, rng)
                try:
                    choice = choose(p, w, target)
                except UnsupportedPrecision as error:
                    print(f"{target.name:22s} {types:7s} {shape:17s} {error}")
                    continue
                for tile in args.tile:
                    one = choice
                    if tile:
                        mr, nr = map(int, tile.split("x"))
                        scale = choice.spec.mr * choice.spec.m_tiles
                        spec = replace(choice.spec, mr=mr, nr=nr, m_tiles=max(1, scale // mr), n_blocks=1)
                        one = replace(choice, spec=spec, packing=replace(choice.packing, nr=nr))
                    print(f"{target.name:22s} {types:7s} {shape:17s} {measure(p, one, x, w, target, args.seconds)}", flush=True)


if __name__ == "__main__":
    main()
