"""What cost models are told of a convolution, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lowbit.kernels.layout import Layout
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.forms.form import Form
    from lowbit.kernels.conv2d.spec import ConvSpec

__all__ = ["DIRECT", "Cost", "Tiling", "WinogradCost", "Workload", "fastest", "tiling_of", "unit_of", "winograd_name"]

DIRECT = "direct"
"""The algorithm that multiplies every input by every weight, in ``Decision`` and in files of costs."""

_UNITS = 16  # wanted: enough for 8 threads to balance
_UNIT_CYCLES = 50_000  # 20 us: below that, handing out work costs as much as the work


@dataclass(frozen=True)
class Workload:
    """``dst`` with ``steps`` K-steps in ``runs`` runs, ``parts`` and ``depth`` as in ConvSpec.

    ``pitch``: bytes between the inputs of neighbouring pixels.  ``linear``: all pixels are that far apart, so one
    address serves a tile.  ``window``: grouped convolution, whose K grows with nr: the smallest nr is taken.
    ``at``: the whole geometry, for those who ask for it; None where there is no layer, but a loop to measure.
    """

    dst: Layout
    steps: float
    runs: int = 1
    pitch: int = 64
    linear: bool = True
    parts: int = 1
    depth: int = 1
    window: bool = False
    at: ConvSpec | None = None


@dataclass(frozen=True)
class Tiling:
    """mr, nr, m_tiles, n_blocks of ConvSpec and the model's cycles for the layer."""

    mr: int
    nr: int
    m_tiles: int
    n_blocks: int
    cycles: float


@dataclass(frozen=True)
class WinogradCost:
    """Of a form in Winograd kernels: ``work``, cycles of sixteen channels of one step as if vectors had 64 bytes, and
    ``temporaries``, registers beside accumulators and weights."""

    work: float
    temporaries: int


class Cost(Protocol):
    """What a form costs on one kind of machine.  ``winograd`` None: the form is not tried in Winograd kernels."""

    @property
    def winograd(self) -> WinogradCost | None: ...

    def lanes(self, target: Target) -> int:
        """Output channels a vector holds."""

    def held(self, depth: int) -> int:
        """Accumulator registers a vector of results takes."""

    def winograd_work(self, depth: int) -> float:
        """``WinogradCost.work`` where products share narrow accumulators for ``depth`` steps."""

    def pace(self, k_group: int) -> float:
        """Cycles a product of a form that takes ``k_group`` values a step, everything beside it left out."""

    def tilings(self, form: Form, load: Workload, target: Target) -> list[Tiling]:
        """Every tile that fits the registers."""


def winograd_name(m: int) -> str:
    """The algorithm F(m x m, 3 x 3), beside ``DIRECT``."""
    return f"winograd{m}"


def fastest(found: list[Tiling]) -> Tiling:
    """The one with the fewest estimated cycles."""
    return min(found, key=lambda tiling: tiling.cycles)


def tiling_of(mr: int, nr: int, dst: Layout, cycles: float) -> Tiling:
    """A tile with the model's unit of work: about _UNITS units, none much shorter than _UNIT_CYCLES."""
    wanted = max(1, min(_UNITS, int(cycles / _UNIT_CYCLES)))
    return Tiling(mr, nr, *unit_of(-(-dst.pixels // mr), -(-dst.c // nr), wanted), cycles)


def unit_of(tiles: int, blocks: int, wanted: int) -> tuple[int, int]:
    """(m_tiles, n_blocks) that make about ``wanted`` units."""
    if blocks >= wanted:
        return tiles, blocks // wanted
    per_block = -(-wanted // blocks)
    return max(1, tiles // per_block), 1
