"""vpmaddubsw and vpmaddwd, and the tile whose steps are listed (TensorIR)."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
from lowbit.kernels.conv2d.arithmetic.spread import ints, spread_bytes, spread_words
from lowbit.kernels.conv2d.schedule import build
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.conv2d.tile import Tile
from lowbit.kernels.intrinsics.x86 import maddubs, maddwd
from lowbit.kernels.vectors import splat
from lowbit.targets import Target

__all__ = ["build_listed", "of_bytes", "of_words"]


def of_bytes(spec: ConvSpec, target: Target) -> Arithmetic:
    nbytes = target.vector_bytes
    lanes, spread = nbytes // 4, spread_bytes("uint8", nbytes)
    ones = splat(1, "int16", nbytes // 2)
    if spec.depth == 1:
        return Arithmetic(
            lanes,
            f"int32x{lanes}",
            ("int8", nbytes),
            ints(lanes),
            spread,
            lambda acc, a, w: acc + maddwd(maddubs(a, w, nbytes), ones, nbytes),
        )
    return Arithmetic(
        lanes,
        f"int16x{nbytes // 2}",
        ("int8", nbytes),
        splat(0, "int16", nbytes // 2),
        spread,
        lambda acc, a, w: acc + maddubs(a, w, nbytes),
        lambda acc: maddwd(acc, ones, nbytes),
    )


def of_words(spec: ConvSpec, target: Target) -> Arithmetic:
    nbytes = target.vector_bytes
    lanes = nbytes // 4
    return Arithmetic(
        lanes,
        f"int32x{lanes}",
        ("int16", nbytes // 2),
        ints(lanes),
        spread_words(spec, nbytes),
        lambda acc, a, w: acc + maddwd(a, w, nbytes),
        product=lambda a, w: maddwd(a, w, nbytes),
    )


class _Listed(Tile):
    """Steps from the list in t = [start of each block | offset of each entry]."""

    entries = 2

    def walk(self, pixels: list[Any], panel: Any, block: Any) -> None:
        t = self.kernel.t
        begin = TB.Bind(t[block])
        with TB.serial(T.int32(0), t[block + 1] - begin) as e:
            offset = TB.Bind(T.cast(t[self.spec.blocks + 1 + begin + e], "int64"))
            self.step([T.cast(pixel, "int64") + offset for pixel in pixels], begin + e)


def build_listed(spec: ConvSpec, target: Target) -> Any:
    """The PrimFunc of ``spec``, whose steps are listed: one that is done twice stands there twice."""
    return build(spec, target, _Listed)
