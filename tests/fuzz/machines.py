"""A program on every machine at hand: x86 targets that this CPU runs, static executables, AArch64 under QEMU."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from lowbit.backend.program import build_program
from lowbit.backend.toolchain import compiler_for
from lowbit.emulate.tools import find_qemu_user
from lowbit.errors import ToolMissing
from lowbit.kernels.conv2d.selection.candidates import candidates
from lowbit.kernels.conv2d.selection.decide import Request
from lowbit.kernels.conv2d.selection.decision import Decision, decision_of
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering import Program
from lowbit.targets import TARGETS, Target
from lowbit.targets.host import host_machine, obstacle

__all__ = ["RandomDecisions", "emulated_targets", "native_targets", "run_executable"]


@cache
def native_targets() -> tuple[Target, ...]:
    """Most capable first."""
    runnable = [t for t in TARGETS.values() if not obstacle(t)]
    return tuple(sorted(runnable, key=lambda t: -len(t.features)))


@cache
def emulated_targets() -> tuple[Target, ...]:
    """Those with a CPU in QEMU, where QEMU and the cross compiler are installed."""
    try:
        compiler_for("aarch64", static=True)
        find_qemu_user("aarch64")
    except ToolMissing:
        return ()
    return tuple(t for t in TARGETS.values() if t.qemu_cpu)


class RandomDecisions:
    """Instead of the tuner: any admissible decision for every convolution (``Decisions`` of selection/decide.py).

    Half of them of those worth measuring, with all their tiles; the others of every form and algorithm that is proven exact,
    however slow, which small layers would never be given."""

    def __init__(self, seed: int, target: Target) -> None:
        self._random = np.random.default_rng(seed)
        self._target = target

    def find(self, request: Request) -> Decision | None:
        if self._random.random() < 0.5:
            found = [decision_of(choice) for choice in request.found]
        else:
            found = candidates(request.problem, request.weights, self._target)
        return found[int(self._random.integers(len(found)))]

    def refuse(self, request: Request, decision: Decision) -> None:
        raise AssertionError(f"{request.key}: the candidate {decision} is not admissible")


def run_executable(
    program: Program, kernels: dict[KernelSpec, bytes], weights: bytes, target: Target, inputs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Outputs of the static executable, under QEMU where the target is another machine."""
    with tempfile.TemporaryDirectory(prefix="lowbit-fuzz-") as name:
        folder = Path(name)
        path = folder / "network"
        path.write_bytes(build_program(program, kernels, weights, target))
        path.chmod(0o755)
        for index, value in enumerate(inputs):
            np.ascontiguousarray(value).tofile(folder / f"in{index}")
        runner = [] if target.machine == host_machine() else [find_qemu_user(target.machine), "-cpu", target.qemu_cpu]
        command = [*runner, "./network", "--runs", "1", "--threads", "2", "-o", "out", *(f"in{i}" for i in range(len(inputs)))]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-500:]}"
        files = ["out", *(f"out.{i}" for i in range(1, len(program.output_shapes)))]
        kinds = zip(files, program.output_shapes, program.types_of_outputs, strict=True)
        return [np.fromfile(folder / file, dtype).reshape(shape) for file, shape, dtype in kinds]
