"""How long kernels take: each measured once on a machine and kept, networks predicted from them."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lowbit.errors import ConfigError, ToolMissing
from lowbit.files import cache_folder, write_whole
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering import Program
from lowbit.runtime import Compiled
from lowbit.searching.quiet import quiet
from lowbit.targets import Target
from lowbit.targets.host import cpu_model, obstacle

__all__ = ["Clock", "EmulatedClock", "HostClock", "Reading", "clock_for"]


@dataclass(frozen=True)
class Reading:
    """Of one run of a network.  ``error``: what ``ms`` may be off by; ``instructions``: None where they are not counted."""

    ms: float
    error: float = 0.0
    instructions: int | None = None


class Clock(Protocol):
    """``where``: what the times are of, in words; studies of other machines are refused by it."""

    where: str

    def predict(self, program: Program, build: Callable[[], Compiled]) -> Reading:
        """From the times of the program's kernels; ``build`` is called where some are unknown."""
        ...

    def measure(self, networks: Mapping[str, Compiled]) -> dict[str, Reading]:
        """Whole networks."""
        ...


def clock_for(target: Target, threads: int) -> Clock:
    """A clock for a machine: this one, or one that is emulated.  Raises ConfigError for others."""
    if not obstacle(target):
        return HostClock(target, threads)
    if target.qemu_cpu:
        return EmulatedClock(target)
    raise ConfigError(f"latency of {target.name}: this machine neither runs it nor emulates it: {obstacle(target)}")


_SECONDS, _LEAST, _MOST, _ROUNDS = 0.3, 12, 80, 8  # of a measurement: time a round should take, runs in it, rounds
_GROUPS = 4  # of runs, which tell the error


@dataclass(eq=False)
class _Table:
    """Kernel -> figures, in one file; who writes it holds the machine."""

    path: Path
    held: dict[str, Any] = field(default_factory=dict)

    def read(self) -> None:
        with suppress(OSError, ValueError):
            self.held = {**json.loads(self.path.read_text()), **self.held}

    def write(self, found: Mapping[str, Any]) -> None:
        self.read()
        self.held.update(found)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps(self.held, sort_keys=True))


def _table(target: Target, *more: object) -> _Table:
    from lowbit.backend.cache import generator_version

    key = json.dumps([target.machine_json, sorted(target.without), generator_version(), *map(str, more)], sort_keys=True)
    name = hashlib.blake2b(key.encode(), digest_size=12).hexdigest()
    table = _Table(cache_folder() / "search" / f"kernels-{name}.json")
    table.read()
    return table


def _symbols(program: Program, target: Target) -> list[str]:
    names: dict[KernelSpec, str] = {}
    for call in program.calls:
        if call.spec not in names:
            names[call.spec] = call.spec.symbol(target.name)
    return [names[call.spec] for call in program.calls]


_BETWEEN = "between"  # ns from the end of a kernel to the start of the next


@dataclass(eq=False)
class HostClock:
    """This machine: the least time of every kernel within the networks that have it, over many runs.

    The least time is what the kernel takes when nothing else runs; its error is the standard deviation of the least times of
    four groups of runs, which is what other work on the machine leaves of it."""

    target: Target
    threads: int
    where: str = field(init=False)
    _table: _Table = field(init=False)

    def __post_init__(self) -> None:
        self.where = f"{cpu_model()}, {self.target.name}, {self.threads} thread{'s' * (self.threads > 1)}"
        self._table = _table(self.target, "host", cpu_model(), self.threads)

    def predict(self, program: Program, build: Callable[[], Compiled]) -> Reading:
        symbols = _symbols(program, self.target)
        if any(symbol not in self._table.held for symbol in symbols):
            self._table.read()
        if any(symbol not in self._table.held for symbol in symbols):
            self._learn(build())
        entries = [self._table.held[symbol] for symbol in symbols]
        between = self._table.held.get(_BETWEEN, {"ns": 0.0})["ns"]
        ns = sum(entry["ns"] for entry in entries) + between * len(entries)
        return Reading(ns * 1e-6, math.sqrt(sum(entry["error"] ** 2 for entry in entries)) * 1e-6)

    def _learn(self, network: Compiled) -> None:
        """Times every kernel of a network; of a known one the lesser time counts."""
        arrays = _inputs(network)
        with quiet():
            times, whole = _runs(network, arrays)
        names = [entry["kernel"] for entry in network.layers]
        groups = np.stack([part.min(0) for part in np.array_split(times, _GROUPS)])
        found: dict[str, Any] = {}
        for name, least, error in zip(names, times.min(0).tolist(), groups.std(0).tolist(), strict=True):
            had = found.get(name) or self._table.held.get(name)
            if had is None or least < had["ns"]:
                found[name] = {"ns": least, "error": error}
        gap = max(0.0, (float(whole.min()) - float(times.min(0).sum())) / len(names))
        had = self._table.held.get(_BETWEEN)
        found[_BETWEEN] = {"ns": gap if had is None else min(gap, had["ns"]), "error": 0.0}
        with quiet():
            self._table.write(found)

    def measure(self, networks: Mapping[str, Compiled]) -> dict[str, Reading]:
        """Whole networks in turns, so that a busy minute falls on all alike: least times, as those of kernels, and as long as
        their sum still falls."""
        arrays = {name: _inputs(network) for name, network in networks.items()}
        groups: dict[str, list[float]] = {name: [] for name in networks}
        last = math.inf
        with quiet():
            for _ in range(_ROUNDS):
                for _ in range(_GROUPS):
                    for name, network in networks.items():
                        network._network.run(arrays[name])
                        groups[name].append(min(_whole(network, arrays[name], _SECONDS / _GROUPS)))
                least = sum(min(times) for times in groups.values())
                if least > 0.99 * last:
                    break
                last = least
        found = {}
        for name, times in groups.items():
            parts = [min(times[i::_GROUPS]) for i in range(_GROUPS)]
            found[name] = Reading(min(times) * 1e-6, float(np.std(parts)) * 1e-6)
        return found


def _inputs(network: Compiled) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape, np.float32) for shape in network.input_shapes]


def _whole(network: Compiled, arrays: list[np.ndarray], seconds: float) -> list[float]:
    """Nanoseconds of single runs, for about ``seconds``, three at least."""
    found: list[float] = []
    began = time.perf_counter()
    while len(found) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter_ns()
        network._network.run(arrays)
        found.append(time.perf_counter_ns() - start)
    return found


def _runs(network: Compiled, arrays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(ns of every operation (runs, operations), ns of whole runs), in turns.

    As long as the sum of the least times still falls by a hundredth, something else uses the machine, and it goes on."""
    native = network._network
    native.run(arrays)
    each: list[np.ndarray] = []
    whole: list[float] = []
    last = math.inf
    for _ in range(_ROUNDS):
        began, count = time.perf_counter(), len(each)
        while len(each) < count + _LEAST or (len(each) < count + _MOST and time.perf_counter() - began < _SECONDS):
            whole += _whole(network, arrays, 0.0)[1:2]
            each.append(native.profile(arrays))
        least = float(np.min(each, axis=0).sum())
        if least > 0.99 * last:
            break
        last = least
    return np.stack(each).astype(np.float64), np.asarray(whole)


_RUNTIME = "runtime"  # instructions outside the kernels


@dataclass(eq=False)
class EmulatedClock:
    """A board under QEMU: instructions of every kernel, counted exactly, and the cycles that llvm-mca estimates of them.

    Times are estimates for one thread at the board's clock; they have no spread."""

    target: Target
    where: str = field(init=False)
    _table: _Table = field(init=False)

    def __post_init__(self) -> None:
        self.where = f"{self.target.name} under QEMU, estimated, 1 thread"
        self._table = _table(self.target, "emulated")

    def predict(self, program: Program, build: Callable[[], Compiled]) -> Reading:
        symbols = _symbols(program, self.target)
        if any(symbol not in self._table.held for symbol in symbols):
            self._table.read()
        if any(symbol not in self._table.held for symbol in symbols):
            network = build()
            with quiet():
                self._table.write(self._count(network))
        entries = [self._table.held[symbol] for symbol in symbols]
        instructions = sum(entry["instructions"] for entry in entries) + self._table.held[_RUNTIME]["instructions"]
        return Reading(1e3 * sum(entry["cycles"] for entry in entries) / self.target.clock_hz, 0.0, instructions)

    def _count(self, network: Compiled) -> dict[str, Any]:
        from lowbit.emulate.user import emulate_user

        done = emulate_user(network, _inputs(network))
        if done.runtime_instructions is None or any(layer.cycles is None for layer in done.layers):
            raise ToolMissing(f"latency of {self.target.name} under emulation: {'; '.join(done.notes) or 'nothing was counted'}")
        found: dict[str, Any] = {
            layer.kernel: {"instructions": layer.instructions, "cycles": layer.cycles} for layer in done.layers
        }
        return {**found, _RUNTIME: {"instructions": done.runtime_instructions, "cycles": 0}}

    def measure(self, networks: Mapping[str, Compiled]) -> dict[str, Reading]:
        found = {}
        for name, network in networks.items():
            counted = self._count(network)
            cycles = sum(counted[entry["kernel"]]["cycles"] for entry in network.layers)
            total = sum(counted[entry["kernel"]]["instructions"] for entry in network.layers)
            found[name] = Reading(1e3 * cycles / self.target.clock_hz, 0.0, total + counted[_RUNTIME]["instructions"])
        return found
