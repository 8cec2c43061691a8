"""vpdpbusd and vpdpwssd (TensorIR)."""

from __future__ import annotations

from functools import partial

from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
from lowbit.kernels.conv2d.arithmetic.spread import ints, spread_bytes, spread_words
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.intrinsics.x86 import vpdpbusd, vpdpwssd
from lowbit.targets import Target

__all__ = ["of_bytes", "of_words"]


def of_bytes(spec: ConvSpec, target: Target) -> Arithmetic:
    nbytes = target.vector_bytes
    lanes, step = nbytes // 4, partial(vpdpbusd, nbytes=nbytes)
    return Arithmetic(lanes, f"int32x{lanes}", ("int8", nbytes), ints(lanes), spread_bytes("uint8", nbytes), step)


def of_words(spec: ConvSpec, target: Target) -> Arithmetic:
    nbytes = target.vector_bytes
    lanes, step = nbytes // 4, partial(vpdpwssd, nbytes=nbytes)
    return Arithmetic(lanes, f"int32x{lanes}", ("int16", nbytes // 2), ints(lanes), spread_words(spec, nbytes), step)
