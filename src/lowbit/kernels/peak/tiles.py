"""Products of tiles, repeated over the same few kilobytes: the peak of kernels on AMX."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import KernelFrame, kernel_function
from lowbit.kernels.intrinsics.amx import COLUMNS, HALVES, ROW_BYTES, Tiles, tiles_of
from lowbit.targets import Target

__all__ = ["halves_loop", "tile_loop"]

_STEPS = 8  # of one repetition; a row of inputs is 512 bytes, all of them and the weights stay in the level-1 cache
_ROWS, _TILE = 16, 1024


def tile_loop(symbol: str, target: Target, planes: int, parts: int) -> tuple[Any, int]:
    """(PrimFunc of the kernel signature, products of a repetition): ``hi - lo`` repetitions of steps of 64 K values.

    Bytes by bytes (``planes`` = ``parts`` = 1): two tiles of inputs by two of weights.  Else all bytes of a number of one tile
    of inputs by all of one of weights; a product of the numbers counts once.  The sums, which mean nothing, end in o, where the
    tiles' configuration is before."""
    tiles, single = tiles_of(target), planes == parts == 1
    inputs, weights = (2, 2) if single else (planes, parts)
    pitch = _STEPS * ROW_BYTES
    pointers = {"x": ("uint8", inputs * _ROWS * pitch), "w": ("int8", inputs * weights * _STEPS * _TILE), "o": ("int32", 4 * 256)}
    with kernel_function(symbol, **pointers) as kernel, _repeated(kernel, tiles) as step:
        for j in range(inputs):
            tiles.load(4 + j, kernel.x, j * _ROWS * pitch + step * ROW_BYTES, pitch)
            for q in range(weights):
                if j == 0:
                    tiles.load(6 + q, kernel.w, (step * weights + q) * _TILE, ROW_BYTES)
                sums = j * weights + q if single else min(j + q, 2)
                tiles.multiply(sums, 4 + j, 6 + q, not single and j == 0 and planes == 2, single or q == 0)
    return kernel.func, _STEPS * _ROWS * COLUMNS * ROW_BYTES * (inputs * weights if single else 1)


@contextmanager
def _repeated(kernel: KernelFrame, tiles: Tiles) -> Iterator[Any]:
    """The steps of all repetitions, between tiles of zeros and their storing."""
    for i, word in enumerate(Tiles.configuration(_ROWS, 6)):
        TB.buffer_store(kernel.o, word, [i])
    tiles.configure(kernel.o, 0)
    for number in range(4):
        tiles.zero(number)
    with TB.serial(kernel.lo, kernel.hi), TB.serial(_STEPS) as step:
        yield step
    for number in range(4):
        tiles.store(number, kernel.o, number * 256, 4 * COLUMNS)
    tiles.release()


def halves_loop(symbol: str, target: Target, planes: int, parts: int) -> tuple[Any, int]:
    """As :func:`tile_loop`, of numbers that are ``planes`` = ``parts`` = 2 bfloat16: steps of 32 K values, two tiles of pixels by
    two of channels, three products for each of float32, which counts once."""
    tiles, pitch = tiles_of(target, HALVES), _STEPS * ROW_BYTES
    pointers = {"x": ("uint8", 2 * planes * _ROWS * pitch), "w": ("int8", 2 * parts * _STEPS * _TILE), "o": ("int32", 4 * 256)}
    with kernel_function(symbol, **pointers) as kernel, _repeated(kernel, tiles) as step:
        for plane, part, inputs, weights in ((0, 1, True, True), (0, 0, False, True), (1, 0, True, False)):
            for j in range(2):
                if inputs:  # else they stay in their tiles
                    tiles.load(4 + j, kernel.x, (plane * 2 + j) * _ROWS * pitch + step * ROW_BYTES, pitch)
                if weights:
                    tiles.load(6 + j, kernel.w, ((step * 2 + j) * parts + part) * _TILE, ROW_BYTES)
            for j in range(2):
                for q in range(2):
                    tiles.multiply_halves(2 * j + q, 4 + j, 6 + q)
    return kernel.func, _STEPS * 2 * _ROWS * 2 * COLUMNS * ROW_BYTES // 2
