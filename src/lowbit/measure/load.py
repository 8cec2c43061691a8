"""What else the machine did while something was timed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["BUSY_CORES", "Load", "is_busy"]

BUSY_CORES = 0.15  # of work of others: more than that moves medians


@dataclass(frozen=True)
class Load:
    """A moment: the load average, and the CPU seconds spent so far by all and by this process."""

    average: float
    at: float
    all_s: float | None
    own_s: float

    @classmethod
    def start(cls) -> Load:
        return cls(os.getloadavg()[0], time.perf_counter(), _busy_seconds(), time.process_time())

    def stop(self) -> dict[str, float | None]:
        """``load_before``: the load average then.  ``other_cores``: how many cores other processes (or, in a virtual
        machine, other guests) kept busy since; None where /proc/stat is missing."""
        now, wall = _busy_seconds(), time.perf_counter() - self.at
        if now is None or self.all_s is None:
            return {"load_before": self.average, "other_cores": None}
        others = now - self.all_s - (time.process_time() - self.own_s)
        return {"load_before": self.average, "other_cores": max(0.0, others / wall)}


def is_busy(measured: Mapping[str, Any]) -> bool:
    """Whether what :meth:`Load.stop` found puts the figures in doubt."""
    others = measured["other_cores"]
    if others is None:
        average = measured["load_before"]
        return bool(average > len(os.sched_getaffinity(0)))
    return bool(others > BUSY_CORES)


def _busy_seconds() -> float | None:
    """CPU seconds of all cores that were not idle since the machine started."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
