"""User mode: the network's own static program under QEMU, on the CPU its target names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.backend.program import build_program
from lowbit.emulate.blocks import Block, count_classes, instructions
from lowbit.emulate.counter import Counts, NoPlugin, count_run
from lowbit.emulate.estimate import can_estimate, total_cycles
from lowbit.emulate.result import Emulation, LayerFigures, judge
from lowbit.emulate.tools import LEAST_LLVM, find_qemu_user, qemu_version, run
from lowbit.errors import ConfigError, InputError, LowbitError
from lowbit.export.parts import parts_of
from lowbit.files import scratch_folder
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["TIMEOUT", "EmulatedProgram", "emulate_user", "random_inputs"]

TIMEOUT = 1200.0  # seconds a program may take under QEMU


def random_inputs(network: Compiled, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Standard normal float32 inputs of the network's shapes."""
    generator = np.random.default_rng(seed)
    return tuple(generator.standard_normal(shape, np.float32) for shape in network.input_shapes)


def check_inputs(network: Compiled, inputs: Sequence[np.ndarray]) -> None:
    """Raises InputError for inputs whose number, shapes or types are not the network's."""
    if len(inputs) != len(network.input_shapes):
        raise InputError(f"{network.name} takes {len(network.input_shapes)} inputs, {len(inputs)} given")
    for index, (given, shape) in enumerate(zip(inputs, network.input_shapes, strict=True)):
        if given.shape != shape or given.dtype != np.float32:
            raise InputError(f"{network.name}, input {index}: expected float32 {shape}, got {given.dtype} {given.shape}")


def target_of(network: Compiled) -> Target:
    """The network's target.  Raises ConfigError if QEMU has no CPU for it."""
    target = network.target
    if not target.qemu_cpu:
        raise ConfigError(f"{network.name} was compiled for {target.name}, which is not emulated; `lowbit run` runs it here")
    return target


@dataclass(frozen=True)
class EmulatedProgram:
    """A program and its inputs in ``folder``, and the command that emulates it."""

    qemu: tuple[str, ...]
    program: Path
    folder: Path
    inputs: tuple[Path, ...]
    outputs: tuple[str, ...]  # files it writes, in folder
    dtypes: tuple[str, ...]  # of their values

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("-o", str(self.folder / self.outputs[0]), *map(str, self.inputs))

    def run(self, runs: int, threads: int, timeout: float) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
        """What it reports with --json, and its outputs, flat.  Raises LowbitError with its exit code and words."""
        options = ("--json", "--runs", str(runs), "--threads", str(threads))
        done = run([*self.qemu, self.program, *options, *self.arguments], timeout)
        if done.returncode:
            raise LowbitError(f"the program ended with exit code {done.returncode}: {done.stderr.strip()[-500:] or 'no message'}")
        return json.loads(done.stdout), tuple(
            np.fromfile(self.folder / name, dtype) for name, dtype in zip(self.outputs, self.dtypes, strict=True)
        )


def prepare(network: Compiled, inputs: Sequence[np.ndarray], folder: Path, cpu: str) -> EmulatedProgram:
    """Build the program and lay it out with its inputs in ``folder``."""
    target = target_of(network)
    check_inputs(network, inputs)
    qemu = (find_qemu_user(target.machine), "-cpu", cpu or target.qemu_cpu)
    parts = parts_of(network)
    program = folder / "network"
    program.write_bytes(build_program(parts.program, parts.kernels, parts.weights, target))
    program.chmod(0o755)
    paths = tuple(folder / f"input{i}.raw" for i in range(len(inputs)))
    for path, values in zip(paths, inputs, strict=True):
        np.ascontiguousarray(values).tofile(path)
    outputs = tuple("output" if i == 0 else f"output.{i}" for i in range(len(network.output_shapes)))
    return EmulatedProgram(qemu, program, folder, paths, outputs, network.output_types)


def emulate_user(
    network: Compiled,
    inputs: Sequence[np.ndarray],
    *,
    runs: int = 1,
    threads: int = 1,
    cpu: str = "",
    count: bool = True,
    timeout: float = TIMEOUT,
) -> Emulation:
    """Run ``network`` on ``inputs`` under QEMU user mode; outputs, verdict and figures by layer.

    ``cpu``: QEMU's name of another CPU than the target's.  ``count``: also count instructions (one more pass) and
    estimate cycles.  Raises ToolMissing (QEMU or the cross compiler), LowbitError with the program's own words and
    exit code if it fails, ConfigError, InputError.
    """
    target = target_of(network)
    with scratch_folder() as folder:
        emulated = prepare(network, inputs, folder, cpu)
        report, flat = emulated.run(runs, threads, timeout)
        counts, notes = _counts(emulated, [layer["kernel"] for layer in report["layers"]], timeout) if count else (None, [])
    outputs = tuple(values.reshape(shape) for values, shape in zip(flat, network.output_shapes, strict=True))
    if counts is not None and not can_estimate():
        notes.append(f"no estimate: llvm-mca {LEAST_LLVM} or newer is not installed: apt-get install llvm-19")
    return Emulation(
        where=f"qemu-{target.machine} {'.'.join(map(str, qemu_version(emulated.qemu[0])))}, {emulated.qemu[2]}",
        target=target.name,
        clock_hz=target.clock_hz,
        outputs=outputs,
        layers=_layers(report["layers"], counts, target),
        times={key: report[key] for key in ("mean_ms", "median_ms", "min_ms", "max_ms", "std_ms")},
        runs=runs,
        threads=report["threads"],
        verdict=judge(network, inputs, outputs),
        runtime_instructions=None if counts is None else instructions(counts.runtime),
        notes=tuple(notes),
    )


def _counts(emulated: EmulatedProgram, kernels: Sequence[str], timeout: float) -> tuple[Counts | None, list[str]]:
    try:
        return count_run(emulated.qemu, emulated.program, emulated.arguments, kernels, timeout), []
    except NoPlugin as error:
        return None, [str(error)]


def _layers(report: Sequence[dict[str, Any]], counts: Counts | None, target: Target) -> tuple[LayerFigures, ...]:
    known: dict[Block, float] = {}
    estimate = bool(target.mca_cpu) and can_estimate()
    found = []
    for index, entry in enumerate(report):
        times = counts.kernels[index] if counts else {}
        found.append(
            LayerFigures(
                layer=entry["layer"],
                kernel=entry["kernel"],
                macs=entry["macs"],
                emulated_ms=entry["median_ms"],
                instructions=instructions(times) if counts else None,
                classes=count_classes(times),
                cycles=total_cycles(times, target.mca_cpu, known) if counts and estimate else None,
            )
        )
    return tuple(found)
