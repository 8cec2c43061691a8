"""A network run and timed, and its times compared with what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.errors import ConfigError, ToolMissing
from lowbit.profile.peaks import Peaks, measure_peaks
from lowbit.profile.result import Profile, ProfiledOperation
from lowbit.profile.sequences import Sequence as Loop
from lowbit.profile.sequences import finish_of, multiplications_saved, sequence_of
from lowbit.profile.traffic import traffic_of, units_of
from lowbit.targets import Target
from lowbit.targets.gpu import host_gpus
from lowbit.targets.host import cpu_model

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["take_profile"]


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
        _where(compiled),
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


def _where(compiled: Compiled) -> str:
    """What the network runs on."""
    if not compiled.target.arch:
        return cpu_model()
    gpus, _ = host_gpus()
    device = getattr(compiled._network, "device", 0)
    return gpus[device].name if device < len(gpus) else "GPU"


def _peaks(compiled: Compiled, fresh: bool, say: Callable[[str], None]) -> tuple[Peaks | None, str]:
    """(peaks of the loops of this network and of float, ""), or (None, why not)."""
    from lowbit.kernels.conv2d.forms.float32 import FLOAT32

    target = compiled.target
    if target.arch:
        return None, "peaks of GPUs are not measured by this version of lowbit"
    specs = [entry["spec"] for entry in compiled.layers if entry["macs"]]
    loops = [found[0] for spec in specs if (found := sequence_of(spec, target)) is not None]
    finishes = [finish for spec in specs if (finish := finish_of(spec, target)) is not None]
    try:
        return measure_peaks(target, compiled.threads, [*loops, Loop(FLOAT32.name, src="f32")], finishes, fresh, say), ""
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
