"""Random choices, drawn through Hypothesis so that a failing case shrinks to its smallest form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

__all__ = ["Draws", "Rejected", "broadcasts"]

T = TypeVar("T")

EXTENTS = (1, 2, 3, 4, 5, 1, 2, 3, 7, 8, 11, 13, 16, 17, 31, 32, 33, 63, 64, 65)
"""Sizes of axes: ones, primes, and the neighbours of vector widths; small ones more often."""


class Rejected(Exception):
    """What was drawn is no case: no operation fits, or the network's own arithmetic overflows."""


@cache
def _integers(least: int, most: int) -> st.SearchStrategy[int]:
    return st.integers(least, most)


class Draws:
    """``draw``: what Hypothesis hands to a composite strategy, or ``st.data().draw``."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def integer(self, least: int, most: int) -> int:
        """least..most, both included; shrinks to the number nearest to 0."""
        return least if least == most else self._draw(_integers(least, most))

    def choose(self, options: Sequence[T]) -> T:
        """One of them; shrinks to the first."""
        if not options:
            raise Rejected("nothing to choose from")
        return options[self.integer(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """True in about ``percent`` of the cases; shrinks to False."""
        return self.integer(0, 99) >= 100 - percent

    def several(self, options: Sequence[T], least: int, most: int) -> list[T]:
        """Different ones, in the order of ``options``."""
        count = self.integer(least, min(most, len(options)))
        left = list(range(len(options)))
        picked = sorted(left.pop(self.integer(0, len(left) - 1)) for _ in range(count))
        return [options[index] for index in picked]

    def permutation(self, count: int) -> list[int]:
        left = list(range(count))
        return [left.pop(self.integer(0, len(left) - 1)) for _ in range(count)]

    def shape(self, least: int, most: int, limit: int = 4096) -> tuple[int, ...]:
        """least..most axes, at most ``limit`` elements; axis 0 is 1..5."""
        shape: list[int] = []
        room = limit
        for axis in range(self.integer(least, most)):
            extent = self.integer(1, 5) if axis == 0 else self.choose(EXTENTS)
            extent = max(1, min(extent, room))
            shape.append(extent)
            room //= extent
        return tuple(shape)

    def broadcastable(self, shape: tuple[int, ...], grows: bool = True) -> tuple[int, ...]:
        """A shape that broadcasts with ``shape``: leading axes left out, extents 1 here or there; ``grows``: also larger ones."""
        kept = list(shape[self.integer(0, len(shape)) :]) if self.chance(40) else list(shape)
        for axis in range(len(kept)):
            if self.chance(30):
                kept[axis] = 1
            elif grows and kept[axis] == 1 and self.chance(20):
                kept[axis] = self.choose((2, 3, 5))
        if grows and len(kept) == len(shape) < 6 and self.chance(10):
            kept.insert(0, self.choose((1, 2)))
        return tuple(kept)

    def factors(self, count: int, axes: int) -> tuple[int, ...]:
        """``axes`` extents whose product is ``count``."""
        shape = [1] * axes
        rest = count
        for prime in _primes(count):
            shape[self.integer(0, axes - 1)] *= prime
            rest //= prime
        return tuple(shape)


def broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether tensors of these shapes can be added."""
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b), strict=False))


def _primes(number: int) -> list[int]:
    """Prime factors; what remains above 97 counts as one."""
    found = []
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97):
        while number % prime == 0:
            found.append(prime)
            number //= prime
    return found + ([number] if number > 1 else [])
