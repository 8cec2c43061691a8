"""Where the time of a network goes: per operation, measured, and beside it what the machine could do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.errors import ConfigError, ToolMissing
from lowbit.runtime.peaks import Peaks, measure_peaks
from lowbit.runtime.sequences import Sequence as Loop
from lowbit.runtime.sequences import finish_of, multiplications_saved, sequence_of
from lowbit.runtime.traffic import traffic_of, units_of
from lowbit.targets import Target
from lowbit.targets.host import cpu_model

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["SMALL_NS", "Profile", "ProfiledOperation", "take_profile"]

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
        return next((rate for form, rate in self.forms.items() if form.split()[0] == "f32"), None)

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


def take_profile(
    compiled: Compiled,
    arrays: Sequence[np.ndarray],
    runs: int = 20,
    *,
    peaks: bool = True,
    fresh: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Profile:
    """Run ``compiled`` on checked ``arrays``: one untimed run, then ``runs`` of the whole and of its operations in turns.

    ``peaks``: measure the machine's as well (some seconds once a machine, then cached; ``fresh``: again); without
    TVM or a C compiler ``Profile.no_peaks`` says so instead.  ``say`` hears what takes long.  Raises ConfigError for runs < 1.
    """
    if type(runs) is not int or runs < 1:
        raise ConfigError(f"runs must be at least 1, got {runs!r}")
    network, manifest = compiled._network, compiled.manifest
    measured, reason = (None, "not asked for") if not peaks else _peaks(compiled, fresh, say)
    network.run(arrays)
    whole, each = [], []
    for _ in range(runs):
        start = time.perf_counter_ns()
        network.run(arrays)
        whole.append(time.perf_counter_ns() - start)
        each.append(network.profile(arrays))
    times = np.median(each, axis=0).astype(int).tolist()
    resident = manifest["weight_memory_bytes"] + manifest["arena_bytes"]
    rows = zip(compiled.layers, network.info["operations"], times, strict=True)
    machine = _Machine(compiled.target, network.threads, measured, resident)
    operations = tuple(_operation(entry, info, ns, machine) for entry, info, ns in rows)
    return Profile(
        compiled.name,
        compiled.target.name,
        cpu_model(),
        network.threads,
        runs,
        int(np.median(whole)),
        min(whole),
        max(0, min(whole) - int(np.sum(each, axis=1).min())),
        operations,
        {str(loop): rate for loop, rate in measured.multiply.items()} if measured else {},
        measured.memory if measured else {},
        reason,
    )


def _peaks(compiled: Compiled, fresh: bool, say: Callable[[str], None]) -> tuple[Peaks | None, str]:
    """(peaks of the loops of this network and of float, ""), or (None, why not)."""
    target = compiled.target
    specs = [entry["spec"] for entry in compiled.layers if entry["macs"]]
    loops = [found[0] for spec in specs if (found := sequence_of(spec, target)) is not None]
    finishes = [finish for spec in specs if (finish := finish_of(spec, target)) is not None]
    try:
        return measure_peaks(target, compiled.threads, [*loops, Loop("f32", src="f32")], finishes, fresh, say), ""
    except ToolMissing as error:
        return None, str(error)


@dataclass(frozen=True)
class _Machine:
    """What operations are compared with.  ``resident``: bytes of the whole network, which pass through the caches
    between two calls."""

    target: Target
    threads: int
    peaks: Peaks | None
    resident: int


def _operation(entry: Mapping[str, Any], info: Mapping[str, Any], ns: int, machine: _Machine) -> ProfiledOperation:
    spec, traffic, target, peaks = entry["spec"], traffic_of(entry), machine.target, machine.peaks
    workers = min(machine.threads, units_of(spec) or machine.threads)
    loop = sequence_of(spec, target) if entry["macs"] else None
    peak = write_ns = memory_ns = None
    level = ""
    if peaks is not None:
        part = workers / machine.threads
        if loop is not None and loop[0] in peaks.multiply:
            peak = peaks.multiply[loop[0]] * loop[1] * part
        finish = finish_of(spec, target) if loop else None
        if finish is not None and finish in peaks.write:
            dst = spec["dst"]
            write_ns = dst["n"] * dst["h"] * dst["w"] * dst["c"] / (peaks.write[finish] * part)
        if traffic is not None:
            level = peaks.level(traffic.total - traffic.weights)
            weights_level = peaks.level(machine.resident)
            others = traffic.total - traffic.weights
            memory_ns = (others / peaks.memory[level] + traffic.weights / peaks.memory[weights_level]) / part
            level = weights_level if traffic.weights > traffic.total / 2 else level
    return ProfiledOperation(
        layer=entry["name"],
        kernel=entry["kernel"],
        kind=spec["kind"],
        op=entry["op"],
        ns=int(ns),
        act=entry["act"] or "",
        weight=entry["weight"] or "",
        container=entry["weights"]["container"] if entry["weights"] else 0,
        form=str(spec.get("form", "")),
        depth=int(spec.get("depth", 0)),
        parts=int(spec.get("parts", 2 if spec.get("wide") else 1)),
        macs=entry["macs"],
        saved=multiplications_saved(spec),
        input_bytes=traffic.inputs if traffic else None,
        weight_bytes=traffic.weights if traffic else None,
        output_bytes=traffic.output if traffic else None,
        scratch_bytes=traffic.scratch if traffic else None,
        peak=peak,
        write_ns=write_ns,
        memory_ns=memory_ns,
        level=level,
        tuned=info.get("tuned"),
        workers=workers,
    )
