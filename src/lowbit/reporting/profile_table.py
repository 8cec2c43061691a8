"""A Profile as a table, and the peaks it was compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich import box
from rich.table import Table

from lowbit.profile.result import Profile, ProfiledOperation
from lowbit.reporting.wording import count, percent, size, time

__all__ = ["COLUMNS", "peaks_table", "profile_table"]


def _share(value: float | None) -> str:
    return "" if value is None else percent(value)


def _kernel(o: ProfiledOperation) -> str:
    depth = f" d{o.depth}" if o.depth > 1 else ""
    return f"{o.kind}{f' {o.form}' if o.form else ''}{depth}{' x2' if o.parts > 1 else ''}"


# heading -> (text of an operation, right-aligned)
COLUMNS: dict[str, tuple[Callable[[ProfiledOperation], str], bool]] = {
    "layer": (lambda o: o.layer, False),
    "types": (lambda o: o.types, False),
    "kernel": (_kernel, False),
    "time us": (lambda o: f"{o.ns / 1e3:.1f}", True),
    "MMAC": (lambda o: f"{o.macs / 1e6:.2f}" if o.macs else "", True),
    "GMAC/s": (lambda o: f"{o.gmacs:.0f}{'*' if o.saved > 1 else ''}" if o.macs else "", True),
    "of peak": (lambda o: _share(o.share_of_peak), True),
    "outside": (lambda o: _share(o.outside), True),
    "writing": (lambda o: _share(o.write_share), True),
    "kB": (lambda o: "" if o.bytes is None else f"{o.bytes / 1e3:,.1f}", True),
    "GB/s": (lambda o: "" if o.bytes_per_ns is None else f"{o.bytes_per_ns:.1f}", True),
    "threads": (lambda o: str(o.workers), True),
    "bound by": (lambda o: o.bound, False),
}


def profile_table(profile: Profile) -> Table:
    """One line an operation, in order; what the columns mean stands in docs/profile.md."""
    where = f"{profile.target}, {count(profile.threads, 'thread')}, {profile.machine}"
    title = f"{profile.name} for {where}: {time(profile.total_ns)} (median of {profile.runs})"
    table = Table(title=title, box=box.SIMPLE_HEAD, caption_justify="left")
    for heading, (_, right) in COLUMNS.items():
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for operation in profile:
        table.add_row(*(text(operation) for text, _ in COLUMNS.values()))
    if any(o.saved > 1 for o in profile):
        table.caption = "* of the plain algorithm: the kernel multiplies less often"
    return table


def peaks_table(threads: int, forms: Mapping[str, float], memory: Mapping[str, float], caches: Mapping[str, int]) -> Table:
    """Measured peaks: loops of multiplications, then reading memory."""
    table = Table(title=f"measured with {count(threads, 'thread')}", box=box.SIMPLE_HEAD)
    table.add_column("loop")
    table.add_column("peak", justify="right")
    for form, rate in forms.items():
        table.add_row(form, f"{rate:,.1f} GMAC/s")
    for level, rate in memory.items():
        room = f" ({size(caches[level])})" if level in caches else ""
        table.add_row(f"read {level}{room}", f"{rate:,.1f} GB/s")
    return table
