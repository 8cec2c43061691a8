"""Bare metal: the network as the only program of a board, without an operating system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lowbit.backend.bare import build_bare, find_bare_board
from lowbit.emulate.board import BOARDS, SEMIHOSTING
from lowbit.emulate.board_files import find_system_qemu
from lowbit.emulate.tools import run
from lowbit.emulate.user import check_inputs, target_of
from lowbit.errors import ConfigError
from lowbit.export.parts import parts_of
from lowbit.files import scratch_folder
from lowbit.measure.expected import expected_outputs
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["bare_command", "make_bare", "run_bare"]


def make_bare(network: Compiled, board: str, inputs: Sequence[np.ndarray]) -> bytes:
    """An ELF file that runs ``network`` on ``inputs`` and compares with what the oracle says.

    Raises ConfigError for an unknown board or a float network, whose output has no single right answer; ToolMissing.
    """
    find_bare_board(board)
    target_of(network)
    check_inputs(network, inputs)
    graph = network.graph()
    if not graph.is_exact:
        raise ConfigError(f"{network.name} computes in float32; bare metal compares integers exactly: quantize the network")
    parts = parts_of(network)
    expected = expected_outputs(graph, inputs)
    return build_bare(parts.program, dict(parts.kernels), parts.weights, parts.target, board, inputs, expected)


def bare_command(board: str, target: Target, program: Path) -> tuple[str, ...]:
    """QEMU's command line for a program of make_bare.  Raises ToolMissing."""
    cpu = BOARDS[board].cpu or target.qemu_cpu
    memory = ("-m", "1G", "-nic", "none") if board == "virt" else ()
    return find_system_qemu(), "-M", board, "-cpu", cpu, *memory, "-nographic", *SEMIHOSTING, "-kernel", str(program)


def run_bare(program: bytes, board: str, target: Target, timeout: float = 120.0) -> tuple[int, str]:
    """Exit code and words of a program of make_bare: 0 equal, 1 different, 3 wrong CPU, 200 a fault.

    Raises ToolMissing, LowbitError when it does not end within ``timeout`` seconds.
    """
    with scratch_folder() as folder:
        path = folder / "bare.elf"
        path.write_bytes(program)
        done = run(bare_command(board, target, path), timeout)
    return done.returncode, (done.stdout + done.stderr).strip()
