"""Where the time of a network goes: per operation, measured, and beside it what the machine could do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["SMALL_NS", "Profile", "ProfiledOperation"]

SMALL_NS = 5_000  # an operation of less time is mostly being called: handing work out takes microseconds


@dataclass(frozen=True)
class ProfiledOperation:
    """One kernel call.

    ``layer``, ``kernel`` (its symbol), ``kind`` (of spec), ``op`` as in the manifest; ``act``, ``weight``: texts of
    QTypes, "f32" or ""; ``container``: bits a weight takes on disk, 0 without weights; ``form``, ``depth``,
    ``parts``: of the kernel, "" and 0 where it has none.  ``macs``: of the plain algorithm, also where the
    kernel multiplies less (``saved`` times less).  ``ns``: median time.  Bytes as in ``Traffic``, None: unknown.
    ``peak``: 10^9 multiply-accumulates a second that the kernel's instructions allow, None:
    unknown.  ``write_ns``: time that writing the results takes at the measured rate.  ``memory_ns``: time that
    moving the bytes takes at the measured rate of ``level``.  ``tuned``: None where nobody says.  ``workers``:
    threads that had a part of the work; peak, write_ns and memory_ns are for that many.
    """

    layer: str
    kernel: str
    kind: str
    op: str
    ns: int
    act: str = ""
    weight: str = ""
    container: int = 0
    form: str = ""
    depth: int = 0
    parts: int = 1
    macs: int = 0
    saved: float = 1.0
    input_bytes: int | None = None
    weight_bytes: int | None = None
    output_bytes: int | None = None
    scratch_bytes: int | None = None
    peak: float | None = None
    write_ns: float | None = None
    memory_ns: float | None = None
    level: str = ""
    tuned: bool | None = None
    workers: int = 1

    @property
    def types(self) -> str:
        """``u8 x i4``, or "" for a kernel without weights."""
        return f"{self.act} x {self.weight}" if self.weight else ""

    @property
    def gmacs(self) -> float:
        """10^9 (plain) multiply-accumulates a second."""
        return self.macs / max(self.ns, 1)

    @property
    def multiply_ns(self) -> float | None:
        """Time of the multiplications at their measured peak; None where that is unknown."""
        return self.macs / self.peak if self.peak and self.macs else None

    @property
    def share_of_peak(self) -> float | None:
        """Part of the measured peak of its own instructions that the kernel reaches."""
        return None if self.multiply_ns is None else self.multiply_ns / max(self.ns, 1)

    @property
    def outside(self) -> float | None:
        """Part of the time that multiplying at the peak does not explain: ``1 - macs / peak / time``, at least 0.

        An upper bound of the time outside the multiply loops, because a loop that waits for memory counts, too.
        """
        return None if self.share_of_peak is None else max(0.0, 1.0 - self.share_of_peak)

    @property
    def write_share(self) -> float | None:
        """Part of the time that scaling, rounding and storing the results takes: at most ``outside``."""
        if self.write_ns is None or self.outside is None:
            return None
        return min(self.write_ns / max(self.ns, 1), self.outside)

    @property
    def bytes(self) -> int | None:
        parts = (self.input_bytes, self.weight_bytes, self.output_bytes, self.scratch_bytes)
        return None if None in parts else sum(p for p in parts if p is not None)

    @property
    def bytes_per_ns(self) -> float | None:
        """10^9 bytes a second."""
        return None if self.bytes is None else self.bytes / max(self.ns, 1)

    @property
    def bound(self) -> str:
        """What sets the time: "compute", "memory" or "writing" results, whichever takes longest at its measured
        rate; "small": under SMALL_NS, most of which none of these explains; "instructions": without
        multiplications, and slower than its bytes; "unknown": a form no peak is measured for."""
        rates = {"compute": self.multiply_ns, "memory": self.memory_ns, "writing": self.write_ns}
        name, longest = max(((k, v or 0.0) for k, v in rates.items()), key=lambda item: item[1])
        explained = longest >= self.ns / 2
        if self.ns < SMALL_NS and not explained:
            return "small"
        if not self.macs:
            return "memory" if self.memory_ns is not None and explained else "instructions"
        return "unknown" if self.multiply_ns is None else name

    def to_json(self) -> dict[str, Any]:
        derived = ("gmacs", "share_of_peak", "outside", "write_share", "bytes", "bytes_per_ns", "bound")
        return asdict(self) | {name: getattr(self, name) for name in derived}


@dataclass(frozen=True)
class Profile:
    """A sequence of ProfiledOperation, in order of execution.

    ``total_ns``, ``fastest_ns``: median and least time of a whole run, without the clock being read between
    operations.  ``between_ns``: time of a run that passes in no operation: the least time of a whole run less the
    least sum of its operations.
    ``forms``: loop -> peak in 10^9 multiply-accumulates a second of all threads, of the loops that the network's
    kernels repeat and of the float one.  ``memory``: 10^9 bytes a second, by level.  ``no_peaks``: why
    they are missing, "" where they are not.
    """

    name: str
    target: str
    machine: str
    threads: int
    runs: int
    total_ns: int
    fastest_ns: int
    between_ns: int
    operations: tuple[ProfiledOperation, ...]
    forms: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)
    no_peaks: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "forms", MappingProxyType(dict(self.forms)))
        object.__setattr__(self, "memory", MappingProxyType(dict(self.memory)))

    def __iter__(self) -> Iterator[ProfiledOperation]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self.operations)

    def __getitem__(self, index: int) -> ProfiledOperation:
        return self.operations[index]

    @property
    def sum_ns(self) -> int:
        """Of all operations' medians."""
        return sum(o.ns for o in self.operations)

    @property
    def macs(self) -> int:
        return sum(o.macs for o in self.operations)

    @property
    def float_peak(self) -> float | None:
        """10^9 float32 multiply-accumulates a second."""
        from lowbit.kernels.conv2d.forms.float32 import FLOAT32

        return next((rate for form, rate in self.forms.items() if form.split()[0] == FLOAT32.name), None)

    def float_ns(self, operation: ProfiledOperation) -> float | None:
        """Time of the operation's multiply-accumulates in float32 at their peak, on as many threads."""
        peak = self.float_peak
        return operation.macs * self.threads / (operation.workers * peak) if peak else None

    @property
    def expected_speedup(self) -> float | None:
        """How much faster than float multiplying everything is when each runs at its peak; None where a peak of an
        operation that multiplies is unknown."""
        pairs = [(self.float_ns(o), o.multiply_ns) for o in self.operations if o.macs]
        if not pairs or any(a is None or b is None for a, b in pairs):
            return None
        return sum(a or 0.0 for a, _ in pairs) / sum(b or 0.0 for _, b in pairs)

    def heaviest(self, share: float = 0.8) -> list[ProfiledOperation]:
        """The fewest operations that take ``share`` of the time, longest first."""
        chosen, taken = [], 0
        for operation in sorted(self.operations, key=lambda o: -o.ns):
            if taken >= share * self.sum_ns:
                break
            chosen.append(operation)
            taken += operation.ns
        return chosen

    def to_json(self) -> dict[str, Any]:
        plain = ("name", "target", "machine", "threads", "runs", "total_ns", "fastest_ns", "between_ns", "no_peaks")
        return {name: getattr(self, name) for name in plain} | {
            "sum_ns": self.sum_ns,
            "macs": self.macs,
            "expected_speedup": self.expected_speedup,
            "forms": dict(self.forms),
            "memory": dict(self.memory),
            "operations": [o.to_json() for o in self.operations],
        }
