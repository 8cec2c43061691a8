"""Problems and typical weights from the keys of the tuner's database, which hold no weights."""

from __future__ import annotations

import re
import zlib

import numpy as np

from lowbit.errors import ConfigError
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.layout import Layout
from lowbit.numerics import QType

__all__ = ["problem_of", "typical_weights"]

_LAYOUT = re.compile(r"(\d+)x(\d+)x(\d+)x(\d+)/(\d+)([a-z]\w*?)(?:\+(\d+),(\d+),(\d+),(\d+))?")


def problem_of(text: str) -> ConvProblem:
    """The problem whose ``Key.problem`` this is; its layer is called by the text.  Raises ConfigError."""
    try:
        op, types, *entries = text.split(" ")
        act, weight = types.split("x")
        of = dict(entry.split("=") for entry in entries)
        kernel, stride, dilation, padding = (_pair(of[name]) for name in "ksdp")
        return ConvProblem(
            layer=text,
            op=op,
            src=_layout(of["src"]),
            dst=_layout(of["dst"]),
            residual=None if of["res"] == "none" else _layout(of["res"]),
            kernel=kernel,
            stride=stride,
            dilation=dilation,
            padding=padding,
            groups=int(of["g"]),
            act=act,
            weight=weight,
            act_max=int(of["max"]),
            acc_shift=int(of["shift"]),
            sign=of["sign"] == "1",
        )
    except (KeyError, ValueError) as error:
        raise ConfigError(f"not the key of a problem: {text!r} ({error!r})") from error


def _pair(text: str) -> tuple[int, int]:
    first, second = text.split("x")
    return int(first), int(second)


def _layout(text: str) -> Layout:
    found = _LAYOUT.fullmatch(text)
    if found is None:
        raise ValueError(f"not a layout: {text!r}")
    n, h, w, c, stride = map(int, found.group(1, 2, 3, 4, 5))
    return Layout(n, h, w, c, stride, found[6], *(int(value or 0) for value in found.group(7, 8, 9, 10)))


def typical_weights(problem: ConvProblem) -> np.ndarray:
    """(N, kh, kw, C / groups) as a layer has them that was initialized at random and quantized per channel: normal, the
    largest of each channel at the ends of the range.  The same each time."""
    rng = np.random.default_rng(zlib.crc32(problem.layer.encode()))
    shape = problem.dst.c, *problem.kernel, problem.src.c // problem.groups
    values = rng.standard_normal(shape, np.float32)
    if problem.weight == "f32":
        return values
    qtype = QType.parse(problem.weight)
    if qtype.bipolar:
        return np.where(values < 0, -1, 1).astype(np.int16)
    largest = np.abs(values).max(axis=(1, 2, 3), keepdims=True)
    return qtype.clamp(np.rint(values / largest * -qtype.qmin)).astype(np.int32)
