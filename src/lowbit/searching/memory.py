"""What was made once and is kept, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["BYTES", "Memory"]

BYTES = 256 << 20

T = TypeVar("T")


@dataclass(eq=False)
class Memory(Generic[T]):
    """Up to ``limit`` bytes; those asked for longest ago are forgotten first."""

    limit: int
    _known: OrderedDict[Hashable, tuple[T, int]] = field(default_factory=OrderedDict)
    _held: int = 0

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """What is known by this key, or else ``make()``; ``size``: bytes that it keeps alive."""
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key][0]
        made = make()
        self._known[key] = made, size(made)
        self._held += size(made)
        while self._held > self.limit:
            self._held -= self._known.popitem(last=False)[1][1]
        return made
