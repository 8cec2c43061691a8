"""The decisions worth measuring for a convolution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

import numpy as np

from lowbit.kernels.conv2d.forms import fastest_first
from lowbit.kernels.conv2d.selection.cost import Tiling, unit_of
from lowbit.kernels.conv2d.selection.decision import Decision, decision_of
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.conv2d.selection.select import choose, option, tilings_of
from lowbit.kernels.conv2d.selection.winograd import tilings, winograd_choices, winograd_cycles
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.targets import Target

__all__ = ["LIMIT", "SOURCES", "candidates"]

LIMIT = 40
_EACH = 4  # decisions of each algorithm and form that are tried before further ones of the best form
_SLOWEST = 2.0  # times the best estimate of the algorithm: what is slower is not tried
_UNIT_TILES = 3  # tiles of which other units are tried
_UNITS = (1, 2, 4, 8, 16, 32, 64)
_UNIT_STEP = 1.04  # orders units of equal estimate: those nearest to the model's come first


def candidates(problem: ConvProblem, weights: np.ndarray, target: Target, limit: int = LIMIT) -> list[Decision]:
    """At most ``limit`` admissible decisions: first the model's, then the others by estimated cycles.

    Every algorithm and form that the weights allow, the best tiles of each, and for the very best tiles several ways
    to cut the layer into units.  Raises UnsupportedPrecision where no form fits.
    """
    weights = np.asarray(weights)
    model = decision_of(choose(problem, weights, target))
    found: dict[Decision, float] = {}
    for source in SOURCES:
        own = sorted(source(problem, weights, target), key=lambda entry: entry[0])
        for cycles, decision in own:
            if cycles <= _SLOWEST * own[0][0]:
                found.setdefault(decision, cycles)
    found[model] = 0.0
    ranked = sorted(found, key=lambda decision: found[decision])
    seen: Counter[tuple[str, str]] = Counter()
    rounds: list[list[Decision]] = [[] for _ in range(_EACH)]  # the best of each algorithm and form, the second best, ...
    for decision in ranked:
        kind = decision.algorithm, decision.form
        if seen[kind] < _EACH:
            rounds[seen[kind]].append(decision)
        seen[kind] += 1
    chosen = list(dict.fromkeys([*chain(*rounds), *ranked]))[:limit]
    return sorted(chosen, key=lambda decision: found[decision])


def _direct(problem: ConvProblem, weights: np.ndarray, target: Target) -> Iterator[tuple[float, Decision]]:
    """(cycles, decision): all tiles with the model's unit, and other units of the best tiles."""
    found = []
    for form in fastest_first(target):
        choice = option(form, problem, weights, target)
        if choice is not None:
            found += [(tiling, choice) for tiling in tilings_of(choice, target)]
    found.sort(key=lambda entry: entry[0].cycles)
    for tiling, choice in found:
        yield tiling.cycles, _decision(choice, tiling)
    for tiling, choice in found[:_UNIT_TILES]:
        for rank, (m_tiles, n_blocks) in enumerate(_units(tiling, choice)):
            other = replace(tiling, m_tiles=m_tiles, n_blocks=n_blocks)
            yield tiling.cycles * _UNIT_STEP**rank, _decision(choice, other)


def _decision(choice: Choice, tiling: Tiling) -> Decision:
    return replace(decision_of(choice), mr=tiling.mr, nr=tiling.nr, m_tiles=tiling.m_tiles, n_blocks=tiling.n_blocks)


def _units(tiling: Tiling, choice: Choice) -> list[tuple[int, int]]:
    """(m_tiles, n_blocks) cut along the channels first, and along the pixels alone, nearest to the tiling's own first."""
    assert isinstance(choice.spec, ConvSpec)
    sized = replace(choice.spec, mr=tiling.mr, nr=tiling.nr)
    tiles, blocks = sized.tiles, sized.blocks

    def count(unit: tuple[int, int]) -> int:
        return -(-tiles // unit[0]) * -(-blocks // unit[1])

    own = (tiling.m_tiles, tiling.n_blocks)
    cut = [unit_of(tiles, blocks, wanted) for wanted in _UNITS] + [(-(-tiles // min(wanted, tiles)), blocks) for wanted in _UNITS]
    return sorted(dict.fromkeys(cut), key=lambda unit: abs(np.log2(count(unit) / count(own))))


def _winograd(problem: ConvProblem, weights: np.ndarray, target: Target) -> Iterator[tuple[float, Decision]]:
    """(cycles, decision): every size of each Winograd form."""
    for choice in winograd_choices(problem, weights, target):
        assert isinstance(choice.spec, WinogradSpec)
        for spec in tilings(choice.spec, target):
            yield winograd_cycles(spec, target), decision_of(replace(choice, spec=spec))


SOURCES: tuple[Callable[[ConvProblem, np.ndarray, Target], Iterator[tuple[float, Decision]]], ...] = (_direct, _winograd)
