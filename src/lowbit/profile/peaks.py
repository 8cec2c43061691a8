"""What this machine can do at best: measured once, kept in the user's cache folder.

The file is named after everything a peak depends on: the CPU's model, the target, the versions of TVM and of the
sources of the kernels, and the number of threads.  A peak can only be measured too low (a busy machine), so measuring
again keeps the larger value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lowbit.errors import ToolMissing, UnsupportedPrecision
from lowbit.profile.sequences import Finish, Sequence
from lowbit.targets import Target
from lowbit.targets.host import cpu_model

__all__ = ["Peaks", "measure_peaks", "peaks_path"]


@dataclass(frozen=True)
class Peaks:
    """Rates of ``threads`` threads together.

    ``multiply``: 10^9 multiply-accumulates a second; ``write``: 10^9 results a second, from sums in registers to
    memory; ``memory``: 10^9 bytes a second, read from "L2", "L3", "DRAM"; ``caches``: bytes, by level.
    """

    threads: int
    multiply: Mapping[Sequence, float] = field(default_factory=dict)
    write: Mapping[Finish, float] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)
    caches: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("multiply", "write", "memory", "caches"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def level(self, nbytes: int) -> str:
        """The innermost of ``memory`` that holds this much: L2 is a core's own, L3 is shared."""
        for name in self.memory:
            room = self.caches.get(name, 0) * (self.threads if name == "L2" else 1)
            if nbytes <= room:
                return name
        return list(self.memory)[-1]


def peaks_path(target: Target, threads: int) -> Path:
    """Where the peaks of this machine for ``target`` are kept."""
    from lowbit.backend.cache import generator_version
    from lowbit.files import cache_folder

    measured = {**target.machine_json, "without": sorted(target.without)}
    key = json.dumps([cpu_model(), measured, generator_version(), threads], sort_keys=True)
    return cache_folder() / "peaks" / hashlib.sha256(key.encode()).hexdigest()


def measure_peaks(
    target: Target,
    threads: int,
    sequences: Iterable[Sequence],
    finishes: Iterable[Finish] = (),
    fresh: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Peaks:
    """Peaks of these loops, and the memory's.  What is in the cache is read from there unless ``fresh``.

    A loop of a form that has no arithmetic or no tiles of its own is left out: its peak is unknown.
    ``say`` hears one line when something is measured.  Raises ToolMissing without TVM or a C compiler.
    """
    from lowbit.backend.cache import read_entry, write_entry
    from lowbit.profile.probes import Probe, cache_sizes, finish_probes, multiply_probes, rates, read_probes

    sequences, finishes = list(dict.fromkeys(sequences)), list(dict.fromkeys(finishes))
    path, caches = peaks_path(target, threads), cache_sizes(target)
    known: dict[str, float] = json.loads(read_entry(path) or b"{}")

    wanted: dict[str, Callable[[str], list[Probe]]] = {}
    for sequence in sequences:
        wanted[str(sequence)] = lambda name, sequence=sequence: multiply_probes(sequence, target, name)  # type: ignore[misc]
    for finish in finishes:
        wanted[str(finish)] = lambda name, finish=finish: finish_probes(finish, target, name)  # type: ignore[misc]
    missing = {}
    for i, (key, make) in enumerate(wanted.items()):
        if fresh or key not in known:
            with suppress(UnsupportedPrecision):
                missing[key] = make(f"peak_{i}")
    if fresh or not any(key.startswith("read ") for key in known):
        missing |= {f"read {level}": [probe] for level, probe in read_probes(caches, threads).items()}
    if missing:
        if find_spec("tvm") is None:
            raise ToolMissing("measuring peaks needs TVM, which compiles the loops: pip install lowbit")
        say(f"measuring {len(missing)} peaks of this machine, threads: {threads}; kept for the next time")
        measured = rates([probe for probes in missing.values() for probe in probes], target, threads)
        for key, probes in missing.items():
            known[key] = max(known.get(key, 0.0), *(measured[probe.symbol] for probe in probes))
        write_entry(path, json.dumps(known, sort_keys=True).encode())
    return Peaks(
        threads,
        {sequence: known[str(sequence)] for sequence in sequences if str(sequence) in known},
        {finish: known[str(finish)] for finish in finishes if str(finish) in known},
        _memory(known),
        caches,
    )


def _memory(known: Mapping[str, Any]) -> dict[str, float]:
    return {level: known[f"read {level}"] for level in ("L2", "L3", "DRAM") if f"read {level}" in known}
