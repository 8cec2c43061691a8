"""Operands to pack: numbers of channels at every edge of a byte, a vector and a pixel, with a halo and without."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from lowbit.kernels.case import Case, blank, physical
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.data_movement.spec import (
    PackBitsSpec,
    PackBytesSpec,
    PackFieldsSpec,
    PackHalvesSpec,
    PackPairsSpec,
    PackTapsSpec,
)
from lowbit.kernels.layout import Layout
from lowbit.targets import Target

__all__ = ["bits_cases", "bytes_cases", "fields_cases", "halves_cases", "pairs_cases", "taps_cases"]

_HALOS = ((0, 0, 0, 0), (1, 2, 1, 0))


def bits_cases(target: Target) -> Iterator[Case]:
    for channels, halo in product((1, 8, 16, 31, 32, 33, 48, 64, 100, 256), _HALOS):
        src = _pixels(channels, halo)
        dst = Layout(2, 3, 5, channels, 4 * -(-channels // 32), "bits", *halo)
        yield _case(PackBitsSpec(src=src, dst=dst), 2)


def bytes_cases(target: Target) -> Iterator[Case]:
    """Rows shorter and longer than a vector; all 16-bit numbers."""
    for stride, halo in product((1, 3, 16, 48, 64), _HALOS):
        src, dst = (Layout(n, 3, 5, stride, stride, dtype, *halo) for n, dtype in ((2, "i16"), (4, "u8")))
        x = np.random.default_rng(0).integers(-32768, 32768, (2, src.hp, src.wp, stride), np.int16)
        x.reshape(-1)[:4] = -32768, 32767, -1, 255
        whole = Layout(4, dst.hp, dst.wp, stride, stride)
        spec = PackBytesSpec(src=src, dst=dst)
        memory = {"x": x.reshape(-1), "o": blank(dst)}
        yield Case(name=f"{stride}/{int(src.halo)}", spec=spec, memory=memory, values={"x": x}, dst=whole)


def halves_cases(target: Target) -> Iterator[Case]:
    """Channels at every edge of a vector and a pixel; floats of all sizes, ties, no numbers, and NaN behind a pixel."""
    small = (0, 1, 0x807F_FFFF, 0x0080_0000, 0x3F80_8000, 0x3F81_8000, 0x3F80_8001)
    large = (0x7F7F_7FFF, 0x7F7F_8000, 0xFF7F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x7F80_0001, 0x7FFF_FFFF, 0xFFFF_FFFF)
    extremes = np.array([*small, *large], np.uint32).view(np.float32)
    for channels, halo in product((1, 3, 16, 31, 32, 40, 64, 70), _HALOS):
        src = Layout(2, 3, 5, channels, -(-channels // 16) * 16, "f32", *halo)
        dst = Layout(4, 3, 5, channels, -(-channels // 32) * 32, "bf16", *halo)
        bits = np.random.default_rng(channels).integers(0, 1 << 32, (2, src.hp, src.wp, src.stride), np.uint64)
        x = bits.astype(np.uint32).view(np.float32)
        x.reshape(-1)[: len(extremes)] = extremes
        x[..., channels:] = np.nan
        whole = Layout(4, dst.hp, dst.wp, dst.stride, dst.stride, "bf16")
        spec = PackHalvesSpec(src=src, dst=dst)
        memory = {"x": x.reshape(-1), "o": blank(dst)}
        yield Case(name=f"{channels}/{int(src.halo)}", spec=spec, memory=memory, values={"x": x}, dst=whole)


def fields_cases(target: Target) -> Iterator[Case]:
    channels = (1, 2, 3, 4, 16, 31, 47, 48, 49, 64, 96, 97, 256)
    for c, halo, (fields, bits) in product(channels, _HALOS, ((2, 2), (3, 2), (4, 1), (6, 1))):
        size = -(-c // fields)
        dst = Layout(2, 3, 5, size, -(-size // 16) * 16, "u8", *halo)
        yield _case(PackFieldsSpec(src=_pixels(c, halo), dst=dst, fields=fields, bits=bits), 2**bits)


def pairs_cases(target: Target) -> Iterator[Case]:
    """For the forms of ``target``: the instructions are theirs."""
    forms = [form for form in FORMS.values() if form.pack_kind == PackPairsSpec.kind and form.available(target)]
    dtypes = sorted({dtype for form in forms for dtype in form.reads})
    for c, halo, dtype, (first, second), mixed in product(
        (5, 16, 40, 64, 70, 130), _HALOS, dtypes, ((0, 0), (9, 100)), (False, True)
    ):
        if dtype == "i16" and first:
            continue  # sums of bytes fit int16 as they are
        src = _pixels(c, halo)
        dst = Layout(2, 3, 5, src.stride, src.stride + (2 if dtype == "i16" else 4), dtype, *halo)
        yield _case(PackPairsSpec(src=src, dst=dst, first=first, second=second, mixed=mixed), 120)


def taps_cases(target: Target) -> Iterator[Case]:
    """Runs shorter and longer than a vector; strides, dilations, paddings less than the halo."""
    shapes = (((1, 1), (2, 2), (1, 1), (0, 0)), ((3, 3), (2, 2), (1, 1), (1, 1)), ((3, 2), (2, 1), (1, 2), (1, 0)))
    for channels, (kernel, stride, dilation, padding) in product((1, 16, 48, 160), shapes):
        src = Layout(2, 9, 8, channels, channels, "u8", 1, 2, 1, 2)
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        h, w = ((extent + 2 * p - r) // s + 1 for extent, p, r, s in zip((9, 8), padding, reach, stride, strict=True))
        dst = Layout(2, h, w, kernel[0] * kernel[1] * channels, kernel[0] * kernel[1] * channels)
        spec = PackTapsSpec(src=src, dst=dst, kernel=kernel, stride=stride, dilation=dilation, padding=padding)
        x = np.random.default_rng(0).integers(0, 256, (2, src.hp, src.wp, channels)).astype(np.uint8)
        memory = {"x": x.reshape(-1), "o": blank(dst)}
        yield Case(name=f"{channels}/{kernel}{stride}", spec=spec, memory=memory, values={"x": x}, dst=dst)


def _pixels(channels: int, halo: tuple[int, int, int, int]) -> Layout:
    return Layout(2, 3, 5, channels, -(-channels // 16) * 16, "u8", *halo)


def _case(spec: PackBitsSpec | PackFieldsSpec | PackPairsSpec, levels: int) -> Case:
    """Bytes below ``levels`` everywhere, the halo too; channels past the last one are junk that must not reach a field."""
    src, dst = spec.src, spec.dst
    x = blank(src)
    pixels = physical(x, src)
    pixels[..., : src.c] = np.random.default_rng(0).integers(0, levels, (src.n, src.hp, src.wp, src.c))
    whole = Layout(dst.n, dst.hp, dst.wp, dst.c, dst.stride, dst.dtype)  # the halo is packed as well
    name = "/".join(str(v) for v in (src.c, int(src.halo), *(v for k, v in vars(spec).items() if k not in ("src", "dst"))))
    return Case(name=f"{name}/{dst.dtype}", spec=spec, memory={"x": x, "o": blank(dst)}, values={"x": pixels}, dst=whole)
