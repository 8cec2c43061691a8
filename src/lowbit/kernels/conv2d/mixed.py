"""The steps of a run whose rows are pairs and single ones in turns (TensorIR; ``Arithmetic.alone``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.loops import hidden, wide
from lowbit.kernels.data_movement.spec import MIXED, WordRole, word_roles
from lowbit.kernels.vectors import keep_order, load

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.tile import Tile

__all__ = ["walk_mixed"]

_ROUND = len(MIXED)


def walk_mixed(tile: Tile, pixels: list[Any], first: Any, steps: int, per_step: int) -> None:
    """All steps of one run, of two rows each, whose inputs start at ``pixels`` and whose weights at step ``first``."""
    rows, per_row = 2 * steps, per_step // 2
    start = TB.Bind(wide(first * 2))
    addresses = [TB.Bind(wide(pixel)) for pixel in pixels]

    def walk(begin: Any, count: int) -> None:
        at = [address + begin * per_row for address in addresses]
        for row, role in enumerate(word_roles(count, mixed=True)):
            if role is not WordRole.B:  # it came with its A
                inputs = [pixel + row * per_row for pixel in at]
                tile.step(inputs, start + begin + row, tile.ops.alone if role is WordRole.ALONE else tile.ops)
                i, j = tile.cells[-1]
                keep_order(load(tile.narrow[i, j, 0], 0, tile.width))

    whole, rest = divmod(rows, _ROUND)
    if whole <= 2:  # a loop of so few costs more than its code
        for index in range(whole):
            walk(index * _ROUND, _ROUND)
    else:
        with TB.serial(hidden(whole, 0)) as index:
            walk(wide(index) * _ROUND, _ROUND)
    if rest:
        walk(whole * _ROUND, rest)
