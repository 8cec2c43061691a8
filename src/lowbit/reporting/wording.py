"""Numbers and lists as people write them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

__all__ = ["count", "listed", "percent", "ratio", "size", "time", "verb", "wrapped"]


def time(ns: float) -> str:
    """``12.3 us`` below a millisecond, else ``1.23 ms``."""
    return f"{ns / 1e3:.1f} us" if ns < 1e6 else f"{ns / 1e6:.2f} ms"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 or not share else f"{100 * share:.1f} %"


def ratio(times: float) -> str:
    return f"{times:.2f}x"


def size(nbytes: float) -> str:
    """``1.5 MB``, decimal."""
    for limit, unit in ((1e6, "MB"), (1e3, "kB")):
        if nbytes >= limit:
            return f"{nbytes / limit:.1f} {unit}"
    return f"{nbytes:.0f} bytes"


def count(number: int, what: str) -> str:
    """``1 layer``, ``3 layers``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def verb(subjects: Sequence[object], plural: str) -> str:
    """``run`` -> ``runs`` for a single subject; ``are`` and ``have`` as well."""
    return {"are": "is", "have": "has"}.get(plural, f"{plural}s") if len(subjects) == 1 else plural


def listed(names: Sequence[str], most: int = 5) -> str:
    """``a, b and 7 more``; repetitions once."""
    distinct = list(dict.fromkeys(names))
    if len(distinct) <= most + 1:
        return ", ".join(distinct)
    return f"{', '.join(distinct[:most])} and {len(distinct) - most} more"


def wrapped(text: str, width: int) -> str:
    """Lines of at most ``width`` characters; the rest of a line stands a little further in than its start."""
    lines = []
    for line in text.splitlines():
        start = line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(line, width, subsequent_indent=start + "  " * bool(start), break_on_hyphens=False) or [""]
    return "\n".join(lines)
