"""Of many cases that take minutes a part, so that ``make test`` ends within a quarter of an hour; ``make test-all`` takes all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["ALL", "share"]

ALL = os.environ.get("LOWBIT_TESTS") == "all"

T = TypeVar("T")


def share(cases: Sequence[T], every: int) -> list[T]:
    """The first one and each ``every``-th after it; all with LOWBIT_TESTS=all."""
    return list(cases if ALL else cases[::every])
