"""A CPU that has AMX, as far as its runtime can tell, and a system that lets the process use it, or not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lowbit.backend.runtime_object import RUNTIME_FOLDER
from lowbit.backend.toolchain import C_FLAGS, find_compiler
from lowbit.targets import TARGETS
from lowbit.targets.host import host_machine

pytestmark = pytest.mark.skipif(host_machine() != "x86_64", reason="what x86 CPUs report")

# cpuid as the compiler's header has it, of a CPU with leaf 7's EDX as told; the system's call as told
_CPUID = r"""
static inline int __get_cpuid(unsigned leaf, unsigned *a, unsigned *b, unsigned *c, unsigned *d) {
    (void)leaf, *a = *b = *d = 0, *c = 1u << 27;
    return 1;
}
static inline int __get_cpuid_count(unsigned leaf, unsigned subleaf, unsigned *a, unsigned *b, unsigned *c, unsigned *d) {
    (void)leaf, (void)subleaf, *a = *b = *c = 0, *d = EDX_OF_LEAF_7;
    return 1;
}
"""
_MAIN = r"""
#include <stdio.h>
#include "runtime.h"
long syscall(long number, ...) { return number == 158 ? ANSWER : -1; }
int main(void) {
    const char *const names[] = {"amx-int8", "amx-tile", NULL}, *missing = lb_missing_feature(names);
    puts(missing ? missing : "nothing");
}
"""
_BOTH = 1 << 24 | 1 << 25


@pytest.mark.parametrize(
    ("edx", "states", "answer", "missing"),
    [
        (_BOTH, 0x60000, 0, "nothing"),
        (_BOTH, 0x60000, -1, "the system's permission to use amx-tile"),
        (_BOTH, 0x40000, 0, "amx-int8"),
        (_BOTH, 0x20000, 0, "amx-int8"),
        (1 << 24, 0x60000, 0, "amx-int8"),
        (1 << 25, 0x60000, 0, "amx-tile"),
        (0, 0x60000, 0, "amx-int8"),
    ],
)
def test_the_tiles_are_asked_for(tmp_path: Path, edx: int, states: int, answer: int, missing: str) -> None:
    """Bits 24 and 25 of leaf 7's EDX, 17 and 18 of XCR0, and the answer of arch_prctl: all of them."""
    (tmp_path / "cpuid.h").write_text(_CPUID)
    (tmp_path / "main.c").write_text(_MAIN)
    source = (RUNTIME_FOLDER / "cpu.c").read_text()
    changed = source.replace('__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));', f"a = {states}u, d = 0;")
    assert changed != source
    (tmp_path / "cpu.c").write_text(changed)
    given = [f"-DEDX_OF_LEAF_7={edx}u", f"-DANSWER={answer}", "-I.", f"-I{RUNTIME_FOLDER}"]
    find_compiler(TARGETS["x86-64"]).run([*C_FLAGS, *given, "main.c", "cpu.c", "-o", "main"], tmp_path)
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{missing}\n"
