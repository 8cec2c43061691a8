"""The convolutions of ResNet-50 beside microseconds of one core of an Emerald Rapids server, each in the network."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.kernels.conv2d.cases import Shape

__all__ = ["LAYERS", "Layer"]

_KERNEL, _AROUND = (3, 3), (1, 1, 1, 1)


@dataclass(frozen=True)
class Layer:
    """``tiles``: of hand-written kernels of bytes on AMX tiles, in the schedule of ours."""

    shape: Shape
    tiles: float


def _plain(c: int, n: int, size: int, tiles: float, residual: bool = False, stride: int = 1) -> Layer:
    return Layer(Shape(c, n, size, size, stride=(stride, stride), residual=residual), tiles)


def _square(c: int, size: int, tiles: float, stride: int = 1) -> Layer:
    return Layer(Shape(c, c, size, size, kernel=_KERNEL, padding=_AROUND, stride=(stride, stride)), tiles)


LAYERS = {
    "56: 1x1 64-64": _plain(64, 64, 56, 27),
    "56: 3x3 64": _square(64, 56, 71),
    "56: 1x1 64-256 r": _plain(64, 256, 56, 105, residual=True),
    "56: 1x1 64-256": _plain(64, 256, 56, 103),
    "56: 1x1 256-64": _plain(256, 64, 56, 41),
    "56: 1x1 256-128": _plain(256, 128, 56, 90),
    "28: 3x3 s2 128": _square(128, 56, 75, stride=2),
    "28: 1x1 128-512 r": _plain(128, 512, 28, 55, residual=True),
    "28: 1x1 s2 256-512": _plain(256, 512, 56, 80, stride=2),
    "28: 1x1 512-128": _plain(512, 128, 28, 38),
    "28: 3x3 128": _square(128, 28, 73),
    "28: 1x1 512-256": _plain(512, 256, 28, 78),
    "14: 3x3 s2 256": _square(256, 28, 83, stride=2),
    "14: 1x1 256-1024 r": _plain(256, 1024, 14, 47, residual=True),
    "14: 1x1 s2 512-1024": _plain(512, 1024, 28, 82, stride=2),
    "14: 1x1 1024-256": _plain(1024, 256, 14, 44),
    "14: 3x3 256": _square(256, 14, 71),
    "14: 1x1 1024-512": _plain(1024, 512, 14, 87),
    "7: 3x3 s2 512": _square(512, 14, 165, stride=2),
    "7: 1x1 512-2048 r": _plain(512, 2048, 7, 61, residual=True),
    "7: 1x1 s2 1024-2048": _plain(1024, 2048, 14, 154, stride=2),
    "7: 1x1 2048-512": _plain(2048, 512, 7, 65),
    "7: 3x3 512": _square(512, 7, 111),
}
