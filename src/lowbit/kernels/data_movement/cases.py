"""Copies to try: strided, transposing and merged ones, runs, user tensors in every memory order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from lowbit.kernels.case import NUMPY, Case, blank, place, random_values
from lowbit.kernels.data_movement.spec import CopySpec, GatherSpec, InputSpec, OutputSpec, RunsSpec
from lowbit.kernels.layout import Layout
from lowbit.targets import Target

__all__ = ["copy_cases", "gather_cases", "input_cases", "output_cases", "runs_cases"]

_DTYPES = ("u8", "i16", "f32")
_COPIES = {  # extent, strides of source and destination
    "element": ((1, 1, 1),),
    "row": ((3, 100, 128), (77, 1, 1)),
    "short_row": ((3, 9, 11), (7, 1, 1)),
    "row_of_30": ((2, 40, 30), (30, 1, 1)),
    "channels": ((4, 7 * 32, 7 * 64), (7, 32, 64), (32, 1, 1)),
    "merged": ((2, 5 * 7 * 16, 5 * 7 * 16), (5, 7 * 16, 7 * 16), (7, 16, 16), (16, 1, 1)),
    "flatten": ((2, 7 * 5 * 48, 48 * 35), (5, 7 * 48, 7), (7, 48, 1), (48, 1, 35)),
    "unflatten": ((2, 48 * 35, 7 * 5 * 48), (48, 35, 1), (5, 7, 7 * 48), (7, 1, 48)),
    "transposed_tail": ((1, 0, 0), (21, 1, 35), (35, 32, 1)),
    "transposed_16": ((3, 512, 512), (16, 1, 32), (32, 16, 1)),
    "units_are_rows": ((37, 1, 40), (40, 48, 1)),
    "units_are_neighbours": ((100, 1, 1), (9, 112, 128)),
    "channel_shuffle": ((6, 64, 64), (2, 29, 1), (29, 1, 2)),
    "channel_shuffle_3": ((2, 96, 96), (20, 1, 3), (3, 20, 1)),
    "every_other": ((5, 40, 20), (20, 2, 1)),
    "reversed_axes": ((3, 1, 20), (4, 3, 5), (5, 12, 1)),
}


def copy_cases(target: Target) -> Iterator[Case]:
    for name, dtype in product(_COPIES, _DTYPES):
        dims, begin = _COPIES[name], (5, 3)
        sizes = [begin[side] + 1 + sum((n - 1) * strides[side] for n, *strides in dims) for side in range(2)]
        x = np.random.default_rng(0).integers(0, 120, sizes[0]).astype(NUMPY[dtype])
        o = np.full(sizes[1], 121, NUMPY[dtype])
        spec = CopySpec(
            dtype=dtype, dims=dims, src_offset=begin[0], dst_offset=begin[1], src_elements=sizes[0], dst_elements=sizes[1]
        )
        yield Case(name=f"{name}/{dtype}", spec=spec, memory={"x": x, "o": o}, values={"x": x, "o": o}, dst=None)


_RUNS = {  # length of a run, dimensions as above
    "element": (1, ((1, 0, 0),)),
    "elements": (1, ((37, 3, 2),)),
    "short": (15, ((4, 40, 60), (3, 15, 17))),
    "sixteen": (16, ((5, 16, 48), (3, 90, 300))),
    "between": (50, ((5, 50, 64), (2, 400, 400))),
    "long": (200, ((3, 700, 1000), (2, 200, 450))),
    "whole_vectors": (256, ((3, 256, 256),)),
    "repeated": (20, ((6, 0, 20),)),
}
_RESCALES = (("u8", "u8", False), ("i16", "u8", False), ("u8", "i16", False), ("i16", "u8", True))


def runs_cases(target: Target) -> Iterator[Case]:
    for name, dtype in product(_RUNS, _DTYPES):
        yield _runs(name, dtype, dtype)
    for name, (src, dst, sign) in product(_RUNS, _RESCALES):
        yield _runs(name, src, dst, rescale=True, sign=sign)


def _runs(name: str, src: str, dst: str, rescale: bool = False, sign: bool = False) -> Case:
    run, dims = _RUNS[name]
    sizes = [7 + run + sum((n - 1) * strides[side] for n, *strides in dims) for side in range(2)]
    x = np.random.default_rng(len(name)).integers(0, 120, sizes[0]).astype(NUMPY[src])
    o = np.full(sizes[1], 121, NUMPY[dst])
    values = {"x": x, "o": o, "t": np.array([5, 3, run, *np.ravel(dims)], np.int32)}
    if rescale:
        values["s"] = np.array([1, -60, 0.731, -50, 40, 70], np.float32)
    kind = f"{src}_{dst}" + "/rescale" * rescale + "/sign" * sign
    spec = RunsSpec(src=src, dst=dst, depth=len(dims), rescale=rescale, sign=sign)
    return Case(name=f"{name}/{kind}", spec=spec, memory=values, values=values, dst=None, units=dims[0][0])


_GATHERS = {  # run (0: of several lengths), offsets of units, pieces
    "element": (1, ((0, 0),), ((0, 0),)),
    "reversed_channels": (1, ((0, 0), (3, 3), (6, 6)), ((2, 0), (1, 1), (0, 2))),
    "three": (3, ((0, 0), (0, 50)), ((4, 0), (4, 3), (9, 6))),
    "pixels": (20, ((0, 0), (0, 200), (100, 400)), ((0, 0), (0, 32), (40, 64), (60, 96))),
    "vectors": (64, ((0, 0), (64, 300)), ((0, 0), (0, 64), (128, 128))),
    "long": (130, ((0, 0), (0, 500)), ((7, 3), (0, 200))),
    "lengths": (0, ((0, 0), (250, 300), (0, 600)), ((4, 0, 1), (0, 1, 5), (3, 6, 16), (7, 22, 50), (9, 72, 200))),
}


def gather_cases(target: Target) -> Iterator[Case]:
    for name, dtype in product(_GATHERS, _DTYPES):
        run, units, pieces = _GATHERS[name]
        t = np.array([len(pieces), 2 + 2 * len(units), *np.ravel(units), *np.ravel(pieces)], np.int32)
        sizes = [max(u[side] for u in units) + max(p[side] + (run or p[2]) for p in pieces) for side in range(2)]
        x = np.random.default_rng(len(name)).integers(0, 120, sizes[0]).astype(NUMPY[dtype])
        values = {"x": x, "o": np.full(sizes[1], 121, NUMPY[dtype]), "t": t}
        spec = GatherSpec(dtype=dtype, run=run)
        yield Case(name=f"{name}/{dtype}", spec=spec, memory=values, values=values, dst=None, units=len(units))


#        n  h   w   c   stride
_INPUTS = {
    "image": (1, 4, 35, 3, 3),
    "image_padded": (2, 3, 16, 3, 4),
    "image_16": (1, 3, 17, 3, 16),
    "two_channels": (1, 2, 48, 2, 2),
    "grey": (2, 3, 28, 1, 1),
    "small": (2, 3, 5, 3, 3),
    "deep": (1, 3, 5, 35, 48),
    "features": (3, 1, 1, 37, 48),
    "features_16": (2, 1, 1, 64, 64),
    "few_features": (2, 1, 1, 5, 16),
}
_ORDERS = {"nchw": (0, 3, 1, 2), "nhwc": (0, 1, 2, 3), "nwhc": (0, 2, 1, 3)}
_SCALES = {"u8": [0.02, -100, 155, 100], "i16": [0.0001, -32768, 32767, 0], "f32": [0, 0, 0, 0]}
_EXTREMES = (np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9, -0.0, 0.01, -0.01, 0.03)


def input_cases(target: Target) -> Iterator[Case]:
    """Normal values with every kind of extreme, held in memory in any order."""
    for name, order, dtype in product(_INPUTS, _ORDERS, (*_DTYPES, "sign")):
        sign = dtype == "sign"
        dst = Layout(*_INPUTS[name], "u8" if sign else dtype, top=1, left=2, bottom=1, right=1)
        x = np.random.default_rng(0).normal(0, 1.5, (dst.n, dst.h, dst.w, dst.c)).astype(np.float32)
        x.reshape(-1)[: min(10, x.size)] = _EXTREMES[: min(10, x.size)]
        axes = _ORDERS[order]
        held, s = np.ascontiguousarray(x.transpose(axes)), np.array(_SCALES[dst.dtype], np.float32)
        spec = InputSpec(dst=dst, strides=_strides(held, axes), sign=sign)
        memory = {"x": held, "s": s, "o": blank(dst)}
        yield Case(name=f"{name}/{order}/{dtype}", spec=spec, memory=memory, values={"x": x, "s": s}, dst=dst)


#        n  h  w   c   stride
_OUTPUTS = {
    "logits": (2, 1, 1, 1000, 1008),
    "few": (3, 1, 1, 5, 16),
    "image": (1, 5, 21, 19, 32),
    "batch": (2, 3, 16, 35, 48),
    "one": (1, 1, 1, 1, 16),
}


def output_cases(target: Target) -> Iterator[Case]:
    for name, order, dtype in product(_OUTPUTS, ("nchw", "nhwc"), _DTYPES):
        src, axes = Layout(*_OUTPUTS[name], dtype, top=1, left=1), _ORDERS[order]
        x, s = random_values(np.random.default_rng(0), src), np.array([1, -77, 0.0123], np.float32)
        o = np.zeros(x.transpose(axes).shape, np.float32)
        spec = OutputSpec(src=src, strides=_strides(o, axes))
        memory = {"x": place(x, src), "s": s, "o": o.reshape(-1)}
        values = {"x": x} if dtype == "f32" else {"x": x, "s": s}
        yield Case(name=f"{name}/{order}/{dtype}", spec=spec, memory=memory, values=values, dst=None)


def _strides(held: np.ndarray, axes: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Of n, h, w, c, in elements, in a tensor that holds them in the order of ``axes``."""
    n, h, w, c = (held.strides[axes.index(axis)] // 4 for axis in range(4))
    return n, h, w, c
