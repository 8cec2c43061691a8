from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from lowbit.backend.build import build_library, build_object, weights_file
from lowbit.backend.driver import API, network_header
from lowbit.backend.toolchain import C_FLAGS, find_compiler
from lowbit.errors import LowbitError
from tests.backend.toy import TARGET, built, linear_network, linear_reference, objects


def exported(path: Path) -> list[str]:
    text = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    return sorted(line.split()[-1] for line in text.splitlines())


def test_exports_the_interface_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "net.so").write_bytes(built(linear_network()[0])[0])
    assert exported(tmp_path / "net.so") == sorted(["lowbit_prefix", *(f"toy_{name}" for name in API)])


def test_needs_libc_only_and_has_no_executable_stack(tmp_path: Path) -> None:
    (tmp_path / "net.so").write_bytes(built(linear_network()[0])[0])
    text = subprocess.run(["readelf", "-dlW", tmp_path / "net.so"], capture_output=True, text=True, check=True).stdout
    needed = {line.split("[")[1].split(".")[0] for line in text.splitlines() if "NEEDED" in line}
    assert needed <= {"libc", "ld-linux-x86-64", "ld-linux-aarch64"}
    assert "GNU_STACK" in text
    assert "RWE" not in text


def test_same_program_same_bytes() -> None:
    assert built(linear_network()[0]) == built(linear_network()[0])


def test_kernels_keep_their_names_for_disassembly(tmp_path: Path) -> None:
    program = linear_network()[0]
    (tmp_path / "net.so").write_bytes(built(program)[0])
    text = subprocess.run(["nm", tmp_path / "net.so"], capture_output=True, text=True, check=True).stdout
    for spec in program.specs:
        assert f" t {spec.symbol(TARGET.name)}\n" in text


def test_a_missing_kernel_is_named() -> None:
    program = linear_network()[0]
    kernels = objects(program)
    kernels.pop(program.specs[0])
    with pytest.raises(LowbitError, match=f"no object for the kernels {program.specs[0].symbol(TARGET.name)}"):
        build_library(program, kernels, TARGET)


def test_a_kernel_that_is_no_object_fails_with_the_linkers_words() -> None:
    program = linear_network()[0]
    with pytest.raises(LowbitError, match=r"the C compiler failed .*kernel0\.o"):
        build_library(program, dict.fromkeys(program.specs, b"nonsense"), TARGET)


MAIN = """
#include <stdio.h>
#include "one.h"
#include "two.h"
int main(void) {
    static float x[30], first[ONE_OUTPUT_0_ELEMENTS], second[TWO_OUTPUT_0_ELEMENTS];
    const float *in[1] = {x};
    float *out1[1] = {first}, *out2[1] = {second};
    for (int i = 0; i < 30; i++) x[i] = (float)(i - 11);
    one_network *a = one_open("one.weights", 2);
    if (!a) { fprintf(stderr, "%s\\n", one_error()); return 1; }
    if (two_open("one.weights", 2) || two_open("absent", 1)) return 2;
    fprintf(stderr, "%s\\n", two_error());
    two_network *b = two_open("two.weights", 3);
    if (!b || one_threads(a) != 2 || two_threads(b) != 3 || one_set_threads(a, 1) || one_threads(a) != 1) return 3;
    if (one_run(a, in, out1) || two_run(b, in, out2)) return 4;
    if (!one_run(a, in, NULL) || !one_run(NULL, in, out1)) return 5;
    for (int i = 0; i < ONE_OUTPUT_0_ELEMENTS; i++) printf("%.9g\\n", first[i]);
    for (int i = 0; i < TWO_OUTPUT_0_ELEMENTS; i++) printf("%.9g\\n", second[i]);
    one_close(a);
    two_close(b);
    one_close(NULL);
    return 0;
}
"""


def test_two_networks_in_one_static_program(tmp_path: Path) -> None:
    """They share kernels and the runtime by name, and each keeps its own."""
    x = np.arange(-11, 19, dtype=np.float32)
    expected = []
    for name, n, seed in (("one", 40, 1), ("two", 50, 2)):
        program, values = linear_network(name, n=n, seed=seed)
        (tmp_path / f"{name}.o").write_bytes(build_object(program, objects(program), TARGET))
        (tmp_path / f"{name}.h").write_text(network_header(program, name))
        (tmp_path / f"{name}.weights").write_bytes(weights_file(program))
        expected.append(linear_reference(values, x).reshape(-1))
    (tmp_path / "main.c").write_text(MAIN)
    find_compiler(TARGET).run([*C_FLAGS, "main.c", "one.o", "two.o", "-lm", "-o", "main"], tmp_path)
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "cannot read the weight file absent: No such file" in done.stderr
    np.testing.assert_array_equal(np.array(done.stdout.split(), np.float32), np.concatenate(expected))
