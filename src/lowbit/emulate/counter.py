"""Exact instruction counts: a QEMU plugin that counts blocks between two marked functions."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lowbit.backend.cache import read_entry, write_entry
from lowbit.backend.toolchain import C_FLAGS, compiler_for
from lowbit.emulate.blocks import Block
from lowbit.emulate.tools import qemu_version, run
from lowbit.errors import LowbitError
from lowbit.files import cache_folder, scratch_folder
from lowbit.targets.host import host_machine

__all__ = ["Counts", "NoPlugin", "count_run"]

_SOURCE = Path(__file__).resolve().parent / "guest_c" / "count.c"


class NoPlugin(LowbitError):
    """This QEMU counts no instructions."""


@dataclass(frozen=True, eq=False)
class Counts:
    """One run of a network: what each operation's kernel executed, and everything around the kernels (filling
    halos, handing out work)."""

    kernels: tuple[dict[Block, int], ...]
    runtime: dict[Block, int]


def _plugin(qemu: str) -> bytes:
    compiler = compiler_for(host_machine())
    major, minor = qemu_version(qemu)
    flags = (*C_FLAGS, f"-DQEMU_VERSION={100 * major + minor}", "-shared")
    key = hashlib.sha256(repr((compiler, flags)).encode() + _SOURCE.read_bytes()).hexdigest()
    path = cache_folder() / "emulate" / f"{key}.so"
    if (known := read_entry(path)) is not None:
        return known
    with scratch_folder() as folder:
        compiler.run([*flags, _SOURCE, "-o", "count.so"], folder)
        content = (folder / "count.so").read_bytes()
    write_entry(path, content)
    return content


def _split(data: dict, operations: int) -> list[list[dict[Block, int]]]:
    """Runs, each the intervals [before the first operation, operation 0, ...]."""
    blocks = [Block(s, at, tuple(int(text[i : i + 8], 16) for i in range(0, len(text), 8))) for s, at, text in data["blocks"]]
    runs: list[list[dict[Block, int]]] = []
    for function, times in data["intervals"]:
        counted = {blocks[index]: n for index, n in times}
        if function == "lowbit_mark":
            runs.append([counted])
        else:
            runs[-1].append(counted)
    return [run for run in runs if len(run) == operations + 1]  # what lies between two runs has no operations


def count_run(
    qemu: Sequence[str], program: Path, arguments: Sequence[str | Path], kernels: Sequence[str], timeout: float
) -> Counts:
    """The counts of one run of ``program``, started as ``qemu program arguments``; ``kernels``: the symbol of
    each operation.  One thread, so that the count is the same whenever it is taken.

    Raises NoPlugin, and LowbitError if the program fails or two runs in a row differ.
    """
    with scratch_folder() as folder:
        (folder / "count.so").write_bytes(_plugin(qemu[0]))
        command = [*qemu, "-plugin", folder / "count.so", program, "--threads", "1", "--runs", "1", *arguments]
        done = run(command, timeout, {**os.environ, "LOWBIT_COUNT": str(folder / "count.json")}, folder)
        if not (folder / "count.json").exists():
            said = done.stderr.strip()[-200:] or "no message"
            raise NoPlugin(f"instructions are not counted: {qemu[0]} takes no plugins, as static builds do not ({said})")
        if done.returncode:
            raise LowbitError(f"{program.name} failed under QEMU (exit {done.returncode}): {done.stderr.strip()[-500:]}")
        data = json.loads((folder / "count.json").read_text())
    runs = _split(data, len(kernels))
    if len(runs) != 2:
        raise LowbitError(f"{program.name}: {len(runs)} complete runs were counted instead of 2; was it stripped?")
    first, second = (_one(run, kernels) for run in runs)
    if first.kernels != second.kernels:
        raise LowbitError(f"{program.name}: two runs executed different instructions")
    return second


def _one(intervals: Sequence[dict[Block, int]], kernels: Sequence[str]) -> Counts:
    runtime: dict[Block, int] = {}
    found = []
    for symbol, times in zip(("", *kernels), intervals, strict=True):
        found.append({block: n for block, n in times.items() if symbol and block.symbol == symbol})
        for block, n in times.items():
            if block not in found[-1]:
                runtime[block] = runtime.get(block, 0) + n
    return Counts(tuple(found[1:]), runtime)
