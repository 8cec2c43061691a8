"""Run kernels of another architecture under QEMU: a static program that calls one kernel on buffers it reads."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from lowbit.backend.cache import compile_kernels
from lowbit.kernels.abi import ARGUMENTS, SCRATCH
from lowbit.kernels.spec import KernelSpec
from lowbit.targets import TARGETS, Target
from lowbit.targets.host import host_machine

__all__ = ["COMPILER", "QEMU", "call_emulated", "emulated_targets", "missing_tools"]

QEMU, COMPILER = "qemu-aarch64", "aarch64-linux-gnu-gcc"
_FOLDER = tempfile.TemporaryDirectory(prefix="lowbit-emulated-")
_MAIN = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
enum { COUNT = 8, GUARD = 64 }; /* the last is scratch memory, which kernels that ask for none do not look for */
void lowbit_kernel(void *, void *, void *, void *, void *, void *, void *, int32_t, int32_t, void *);
static void take(void *to, size_t size) {
    if (fread(to, 1, size, stdin) != size) exit(2);
}
int main(void) {
    int32_t range[2];
    int64_t size[COUNT];
    uint8_t *data[COUNT];
    take(range, sizeof range);
    for (int i = 0; i < COUNT; i++) {
        take(&size[i], sizeof size[i]);
        data[i] = NULL;
        if (size[i] < 0) continue;
        size_t whole = ((size_t)size[i] + 3 * GUARD) / GUARD * GUARD;
        uint8_t *memory = aligned_alloc(GUARD, whole);
        if (!memory) return 2;
        memset(memory, 0xa5, whole);
        data[i] = memory + GUARD;
        take(data[i], (size_t)size[i]);
    }
    lowbit_kernel(data[0], data[1], data[2], data[3], data[4], data[5], data[6], range[0], range[1], data[7]);
    for (int i = -GUARD; i < GUARD; i++)
        if (data[6][i < 0 ? i : size[6] + i] != 0xa5) return 3;
    return fwrite(data[6], 1, (size_t)size[6], stdout) != (size_t)size[6];
}
"""


def missing_tools() -> str:
    """Why nothing can be emulated here; "" if it can."""
    absent = [tool for tool in (QEMU, COMPILER) if shutil.which(tool) is None]
    return f"{' and '.join(absent)} not installed: apt-get install qemu-user gcc-aarch64-linux-gnu" if absent else ""


def emulated_targets() -> list[Target]:
    """One AArch64 target for each set of features."""
    found: dict[frozenset[str], Target] = {}
    for target in TARGETS.values():
        if target.machine == "aarch64" != host_machine():
            found[target.features] = target
    return list(found.values())


def call_emulated(spec: KernelSpec, target: Target, lo: int, hi: int, arrays: dict[str, np.ndarray | None]) -> None:
    """As ``harness.run_kernel``: writes ``o`` in place.  Fails if the kernel writes beside ``o``."""
    message = struct.pack("<ii", lo, hi)
    assert not spec.bracketed, "nobody begins or ends here"
    scratch = np.random.default_rng(0).integers(0, 256, spec.scratch_bytes, np.uint8) if spec.scratch_bytes else None
    for name in (*ARGUMENTS, SCRATCH):
        array = scratch if name == SCRATCH else arrays.get(name)
        message += struct.pack("<q", -1) if array is None else struct.pack("<q", array.nbytes) + array.tobytes()
    command = [QEMU, "-cpu", target.qemu_cpu, str(_program(spec, target))]
    done = subprocess.run(command, input=message, capture_output=True, timeout=120)
    assert done.returncode == 0, f"{spec.symbol(target.name)}: exit {done.returncode} {done.stderr.decode()}"
    out = arrays["o"]
    assert out is not None
    out[...] = np.frombuffer(done.stdout, out.dtype).reshape(out.shape)


@cache
def _program(spec: KernelSpec, target: Target) -> Path:
    symbol = spec.symbol(target.name)
    path = Path(_FOLDER.name) / symbol[-200:]
    path.with_suffix(".o").write_bytes(compile_kernels([spec], target)[spec])
    objects = [str(_main_object()), str(path.with_suffix(".o"))]
    command = [COMPILER, "-static", "-o", str(path), *objects, f"-Wl,--defsym=lowbit_kernel={symbol}"]
    subprocess.run(command, check=True, capture_output=True)
    return path


@cache
def _main_object() -> Path:
    source = Path(_FOLDER.name) / "main.c"
    source.write_text(_MAIN)
    subprocess.run([COMPILER, "-O1", "-c", str(source), "-o", str(source.with_suffix(".o"))], check=True, capture_output=True)
    return source.with_suffix(".o")
