"""Networks of one width everywhere, for comparison: what a search has to beat."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any

from lowbit.errors import ChoiceError, NumericsError, UnsupportedOperation, UnsupportedPrecision
from lowbit.progress import stage
from lowbit.searching.run import measured
from lowbit.searching.space import Kind, Space
from lowbit.searching.strategies.strategy import Problem

__all__ = ["evaluate_uniform", "uniform_networks", "widths_of"]

Widths = tuple[int, int]
"""Bits of weights, and of the values that layers read."""


def widths_of(name: str) -> Widths:
    """ "w4a8" -> (4, 8)."""
    match = re.fullmatch(r"w(\d+)a(\d+)", name)
    assert match is not None  # parse_bound takes no other
    return int(match[1]), int(match[2])


def uniform_networks(space: Space, which: str) -> dict[str, Widths]:
    """Name ("w4a8") -> widths.  ``which``: "all" pairs of the space's widths, "diagonal": w = a and each w with the widest a,
    "none"."""
    activations = space.widths(Kind.ACTIVATIONS) or (space.base.activations.bits,)
    return {
        f"w{w}a{a}": (w, a)
        for w in reversed(space.widths(Kind.WEIGHTS) or (space.base.weights.bits,))
        for a in reversed(activations)
        if which == "all" or (which == "diagonal" and (w == a or a == activations[-1]))
    }


def evaluate_uniform(
    problem: Problem,
    networks: Mapping[str, Widths],
    wanted: Sequence[str],
    notes: MutableMapping[str, Any],
    progress: bool | None = None,
) -> dict[str, dict[str, Any]]:
    """Name -> what a trial would hold; kept in ``notes``, and read from there the next time.  Those that cannot be made are left
    out."""
    found: dict[str, dict[str, Any]] = {}
    with stage("uniform networks", len(networks), progress) as advance:
        for name, widths in networks.items():
            key = f"uniform:{name}"
            if key not in notes:
                try:
                    notes[key] = measured(problem, partial(problem.evaluator.uniform, *widths), wanted)
                except (UnsupportedPrecision, UnsupportedOperation, NumericsError, ChoiceError) as error:
                    notes[key] = {"failed": str(error)}
            if "failed" not in notes[key]:
                found[name] = notes[key]
            advance(1, f"uniform {name}")
    return found
