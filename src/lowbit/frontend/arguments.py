"""The arguments of one traced operation, which remember whether anybody looked at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["HARMLESS", "Arguments"]

HARMLESS = frozenset(
    {"device", "dtype", "generator", "implicit", "layout", "memory_format", "non_blocking", "out", "out_dtype", "pin_memory"}
)
"""Arguments that change no value: where and how the result lies in memory, and ``dtype``, since every result that is
not float32 is refused by its own type."""


class Arguments(Mapping[str, Any]):
    """Every argument of the schema by name, defaults filled in.

    A handler must read each argument that is not left at its default, or say with :meth:`shape_only` or
    :meth:`without_effect` why it need not; :meth:`ignored` holds the ones that it silently left out.
    """

    def __init__(self, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        """``defaults``: of the optional arguments."""
        self._values = dict(values)
        self._defaults = dict(defaults)
        self._read: set[str] = set(HARMLESS)

    def __getitem__(self, name: str) -> Any:
        value = self._values[name]
        self._read.add(name)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def peek(self) -> Iterator[Any]:
        """Every value, those in lists one by one, without looking at them: none counts as read."""
        for value in self._values.values():
            yield from value if isinstance(value, (list, tuple)) else [value]

    def shape_only(self, *names: str) -> None:
        """These decide the result's shape and nothing else; torch has worked that out."""
        self._read.update(names)

    def without_effect(self, *names: str) -> None:
        """These have no effect in evaluation."""
        self._read.update(names)

    def ignored(self) -> dict[str, Any]:
        return {name: value for name, value in self._values.items() if name not in self._read and not self._default(name, value)}

    def _default(self, name: str, value: Any) -> bool:
        if name not in self._defaults:
            return False
        default = self._defaults[name]
        plain = (bool, int, float, str, list, tuple)
        return value is default or (isinstance(value, plain) and isinstance(default, plain) and value == default)
