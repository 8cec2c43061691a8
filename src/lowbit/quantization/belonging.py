"""Whether what was chosen or observed by name belongs to a graph."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

__all__ = ["differences"]

_NAMED = 5


def differences(given: Iterable[Hashable], wanted: Iterable[Hashable]) -> str:
    """What ``given`` lacks of ``wanted`` and has beyond it, as words; empty where the two are the same."""
    given, wanted = dict.fromkeys(given), dict.fromkeys(wanted)
    groups = {"missing": [n for n in wanted if n not in given], "unexpected": [n for n in given if n not in wanted]}
    return "; ".join(f"{what} {_some(names)}" for what, names in groups.items() if names)


def _some(names: list[Hashable]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more
