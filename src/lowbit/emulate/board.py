"""System mode: a whole board with a Linux kernel, whose only process runs the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lowbit.backend.cache import read_entry, write_entry
from lowbit.backend.program import build_program
from lowbit.backend.toolchain import C_FLAGS, compiler_for
from lowbit.emulate.board_files import find_kernel, find_system_qemu
from lowbit.emulate.initramfs import make_initramfs
from lowbit.emulate.result import Emulation, LayerFigures, judge
from lowbit.emulate.tools import run
from lowbit.emulate.user import TIMEOUT, check_inputs, target_of
from lowbit.errors import ConfigError, LowbitError
from lowbit.export.parts import parts_of
from lowbit.files import cache_folder, scratch_folder

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["BOARDS", "SEMIHOSTING", "Board", "emulate_board"]

_INIT = Path(__file__).resolve().parent / "guest_c" / "init.c"


@dataclass(frozen=True)
class Board:
    """``dtb``: file of its device tree, "" where QEMU makes it.  ``cpu``: QEMU's name, "" = the target's.  ``options``: of
    QEMU; ``boot``: of the kernel."""

    dtb: str = ""
    cpu: str = ""
    options: tuple[str, ...] = ()
    boot: str = "console=ttyAMA0"


# Two drivers of the Pi 4 wait for hardware that QEMU does not have.
_ABSENT = "initcall_blacklist=brcmstb_l2_driver_init,brcmstb_i2c_driver_init clk_ignore_unused"
BOARDS = {
    "raspi3b": Board("bcm2837-rpi-3-b.dtb", "cortex-a53", ("-accel", "tcg,thread=single"), "console=ttyAMA0,115200"),
    "raspi4b": Board("bcm2711-rpi-4-b.dtb", "cortex-a72", ("-accel", "tcg,thread=single"), f"console=ttyAMA0,115200 {_ABSENT}"),
    "virt": Board(options=("-m", "2G", "-smp", "4", "-nic", "none")),
}
SEMIHOSTING = ("-semihosting-config", "enable=on,userspace=on,target=native")


def find_board(name: str) -> Board:
    """Raises ConfigError with the names there are."""
    if name not in BOARDS:
        raise ConfigError(f"unknown board {name!r}; boards: {', '.join(BOARDS)}")
    return BOARDS[name]


def _init() -> bytes:
    """The program that the kernel starts."""
    compiler = compiler_for("aarch64", static=True)
    key = hashlib.sha256(repr((compiler, C_FLAGS)).encode() + _INIT.read_bytes()).hexdigest()
    path = cache_folder() / "emulate" / f"{key}.init"
    if (known := read_entry(path)) is not None:
        return known
    with scratch_folder() as folder:
        compiler.run([*C_FLAGS, "-static", _INIT, "-Wl,--strip-all", "-o", "init"], folder)
        content = (folder / "init").read_bytes()
    write_entry(path, content)
    return content


def emulate_board(
    network: Compiled,
    inputs: Sequence[np.ndarray],
    board: str,
    *,
    runs: int = 1,
    threads: int = 1,
    timeout: float = TIMEOUT,
) -> Emulation:
    """Boot Linux on ``board`` of :data:`BOARDS` under QEMU and run the network there; outputs, verdict, emulated times.

    Raises ToolMissing (QEMU, kernel, cross compiler), ConfigError, InputError; LowbitError with the program's exit code and
    words, or with the end of what the kernel said.
    """
    machine, target = find_board(board), target_of(network)
    check_inputs(network, inputs)
    qemu, (kernel, dtb) = find_system_qemu(), find_kernel(machine.dtb)
    parts = parts_of(network)
    names = [f"input{i}.raw" for i in range(len(inputs))]
    arguments = ["--json", "--runs", runs, "--threads", threads, "-o", "/output", *(f"/{name}" for name in names)]
    content = {
        "init": _init(),
        "network": build_program(parts.program, parts.kernels, parts.weights, target, strip=True),
        "arguments": "\n".join(map(str, arguments)).encode(),
        **{name: np.ascontiguousarray(values).tobytes() for name, values in zip(names, inputs, strict=True)},
    }
    cpu = machine.cpu or target.qemu_cpu
    with scratch_folder() as folder:
        (folder / "initramfs").write_bytes(make_initramfs(content))
        command = [qemu, "-M", board, "-cpu", cpu, "-nographic", "-no-reboot", *SEMIHOSTING, *machine.options]
        command += ["-kernel", str(kernel), "-initrd", "initramfs", "-append", f"{machine.boot} quiet panic=-1"]
        command += ["-dtb", str(dtb)] if dtb else []
        done = run(command, timeout, folder=folder)
        if not (folder / "report").exists():
            raise LowbitError(
                f"{board} did not run the network (QEMU's exit code {done.returncode}): {_last(done.stdout + done.stderr)}"
            )
        if done.returncode:
            raise LowbitError(f"the program ended with exit code {done.returncode}: {_last((folder / 'messages').read_text())}")
        report = json.loads((folder / "report").read_text())
        files = ["output", *(f"output.{i}" for i in range(1, len(network.output_shapes)))]
        outputs = tuple(
            np.fromfile(folder / file, dtype).reshape(shape)
            for file, shape, dtype in zip(files, network.output_shapes, network.output_types, strict=True)
        )
        model = (folder / "model").read_text().strip("\0\n ") if (folder / "model").exists() else board
    return Emulation(
        where=f"qemu-system-aarch64 -M {board}, Linux on {model}, {cpu}",
        target=target.name,
        clock_hz=target.clock_hz,
        outputs=outputs,
        layers=tuple(LayerFigures(e["layer"], e["kernel"], e["macs"], e["median_ms"]) for e in report["layers"]),
        times={key: report[key] for key in ("mean_ms", "median_ms", "min_ms", "max_ms", "std_ms")},
        runs=runs,
        threads=report["threads"],
        verdict=judge(network, inputs, outputs),
        notes=("instructions are counted in user mode, that is without --board",),
    )


def _last(text: str) -> str:
    return text.strip()[-500:] or "no message"
