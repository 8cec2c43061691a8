"""What kernels on AMX tiles cost: plans, rows of a tile, units.

All numbers are of one core of an Emerald Rapids server at 2.5 GHz, measured with hand-written kernels of the same schedule;
sums of the terms are 0.75 to 1.3 of the times that the layers of ResNet-50 took there in the network.
None was measured on another CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lowbit.kernels.conv2d.amx.plan import GROUP, STEP, SUMS, Plan, plan_of
from lowbit.kernels.conv2d.amx.walk import MOST_ROWS
from lowbit.kernels.conv2d.selection.cost import Tiling, WinogradCost, Workload
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.forms.form import Form

__all__ = ["MatrixCost"]

_LOAD, _L2_LOAD = 8.0, 23.4  # cycles a tile, from the level-1 cache (rows 64 .. 1024 bytes apart) and the second; measured
_NEAR = 0.9  # of the level-1 cache, in which the inputs of a group of pixels, or a panel of weights, stay
_STRIDES = {8: 44.0, 16: 36.0, 32: 20.0, 2048: 11.0, 4096: 16.0}  # measured; overlapping rows, and rows of one set
_SHORT, _LONG = (7, 14.2), (13, 17.0)  # rows -> cycles of a multiplication; with a tenth of its loads 15.0 and 17.8, measured
_BESIDE = 0.1  # of a load that shows beside the multiplications
_FEWEST = 2  # multiplications a step that fewer do not undercut: each waits for the sum before it
_BLOCK = 80.0  # clear and store four tiles
_WRITE, _RESIDUAL = 10.0, 7.0  # sixty-four results; measured 7 and 14 where rows are written between multiplications
_FLOAT_WRITE = 20.0  # sixty-four float32, 256 bytes; estimated from 5 instructions for sixteen
_WIDE_WRITE = 60.0  # sixty-four results of three sums each, in float64; estimated
_FAR = 9.6  # bytes a cycle of weights from the level-3 cache, 22-25 GB/s measured; half of that time shows beside the rest
_UNITS, _UNIT_CYCLES = 16, 50_000  # as in cost.py
_ENOUGH = 4  # units for which pixels are not cut: their weights would be read once for each part


@dataclass(frozen=True)
class MatrixCost:
    """``wide``: of operands of 16 bits, up to four multiplications for a product, and tiles of one tile's results alone.
    ``narrow``: weights lie in so many bits, and all pixels are in the tiles of one group: unpacking then hides behind multiplying
    (measured at 4 and at 2: what is read from far away is less, nothing else changes).
    ``halves``: operands are two bfloat16 each, three products of which are made (tdpbf16ps is as fast as tdpbusd; measured)."""

    wide: bool = False
    narrow: int = 0
    halves: bool = False

    @property
    def winograd(self) -> WinogradCost | None:
        return None

    def lanes(self, target: Target) -> int:
        return 16

    def held(self, depth: int) -> int:
        return 1

    def winograd_work(self, depth: int) -> float:
        raise NotImplementedError("no tiles in Winograd kernels")

    def pace(self, k_group: int) -> float:
        """Cycles a product."""
        products = 4 if self.wide else 3 if self.halves else 1
        return products * _LONG[1] / (16 * 16 * (STEP // 2 if self.halves else STEP))

    def tilings(self, form: Form, load: Workload, target: Target) -> list[Tiling]:
        assert load.at is not None, "tiles follow the pixels of a layer"
        found = []
        panels = (16,) if self.wide or self.narrow or load.window else (16, 32, 64)
        for nr in panels:
            pixels = 1 if self.wide else SUMS * 16 // nr
            for rows in range(1, MOST_ROWS + 1):
                spec = replace(load.at, mr=pixels * rows, nr=nr, m_tiles=1, n_blocks=1)
                plan = plan_of(spec)
                if plan.rows == rows and (plan.groups == 1 or not self.narrow):
                    found.append(self._tiling(plan, load, nr, target))
        return found

    def _tiling(self, plan: Plan, load: Workload, nr: int, target: Target) -> Tiling:
        assert load.at is not None
        spec, dst = load.at, load.dst
        column_tiles, groups = -(-dst.c // 16), -(-(-(-dst.c // 16) * 16) // GROUP)
        planes, near = spec.src.n // dst.n, _NEAR * target.l1_bytes
        inputs = min(plan.pixels * plan.rows * load.pitch * spec.kernel[0], spec.src.nbytes) * planes
        weights = load.steps * STEP * nr * load.parts
        loads = plan.pixels * planes * (_a_load(load.pitch) if inputs <= near else max(_a_load(load.pitch), _L2_LOAD))
        loads += plan.columns * load.parts * (_LOAD if weights <= near else _L2_LOAD)
        products = plan.pixels * plan.columns * (3 if self.halves else planes * load.parts)
        step = max(_multiplication(plan.rows) * max(products, _FEWEST), loads) + _BESIDE * loads
        blocks = -(-column_tiles // plan.columns)
        multiply = plan.groups * blocks * (load.steps * step + _BLOCK)
        write = (_WIDE_WRITE if self.wide else _FLOAT_WRITE if self.halves else _WRITE) + (_RESIDUAL if spec.residual else 0.0)
        far = load.steps * STEP * load.parts * column_tiles * 16 * (self.narrow or 8) / 8 / _FAR / 2
        cycles = multiply + plan.walk.tiles * plan.rows * groups * write + far
        m_tiles, n_blocks = _unit(plan.groups, blocks, GROUP // nr, cycles)
        return Tiling(plan.rows * plan.pixels, nr, m_tiles, n_blocks, cycles)


def _multiplication(rows: int) -> float:
    """Cycles of one with its share of the loads."""
    (short, fast), (long, slow) = _SHORT, _LONG
    part = min(max((rows - short) / (long - short), 0.0), 1.0)
    return fast + part * (slow - fast)


def _a_load(pitch: int) -> float:
    """Cycles of a tile whose rows are ``pitch`` bytes apart."""
    if pitch <= 32:
        return min(((abs(pitch - known), cost) for known, cost in _STRIDES.items() if known <= 32))[1]
    return max((cost for known, cost in _STRIDES.items() if known > 32 and pitch % known == 0), default=_LOAD)


def _unit(groups: int, blocks: int, panels: int, cycles: float) -> tuple[int, int]:
    """(m_tiles, n_blocks): whole groups of ``panels`` panels with all pixels, so that weights are read once; where that makes
    fewer units than threads may want, the pixels are cut as well."""
    wanted = max(1, min(_UNITS, int(cycles / _UNIT_CYCLES)))
    channel_groups = -(-blocks // panels)
    if channel_groups >= min(wanted, _ENOUGH):
        wanted = min(wanted, channel_groups)
        units = -(-channel_groups // (channel_groups // wanted))  # wanted ones, or some more of equal size
        return groups, min(blocks, panels * -(-channel_groups // units))
    return max(1, groups // -(-wanted // channel_groups)), min(blocks, panels)
