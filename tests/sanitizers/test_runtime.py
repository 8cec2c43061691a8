"""The C runtime under the address, undefined-behaviour and thread sanitizers: driver.c says what is done to it.

Kernels of the toy network are C and instrumented, too; those of the others are generated, as in every artifact.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import lowbit
from lowbit.backend.build import weights_file
from lowbit.backend.driver import driver_source, network_header
from lowbit.backend.runtime_object import RUNTIME_FOLDER
from lowbit.backend.toolchain import C_FLAGS, find_compiler
from lowbit.errors import LowbitError
from lowbit.export.parts import parts_of
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering import Program
from lowbit.targets import Target
from tests.backend.toy import TARGET, CSpec, compile_c, linear_network
from tests.fuzz.artifacts import seeds

SANITIZERS = {
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-fsanitize=thread",),
}
ROUNDS = "12"
NETWORKS = ("toy", "eight", "groups", "split", "one", "softmax", "float")


@dataclass(frozen=True)
class Network:
    program: Program
    kernels: Mapping[KernelSpec, bytes]
    target: Target


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Network]:
    found = {}
    for path in seeds(tmp_path_factory.mktemp("seeds")):
        parts = parts_of(lowbit.load(path, threads=1))
        found[path.stem] = Network(parts.program, parts.kernels, parts.target)
    return found


@pytest.fixture(scope="module", params=SANITIZERS)
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The sanitizer's name and a folder with the runtime's objects, compiled with it."""
    folder, compiler = tmp_path_factory.mktemp(request.param), find_compiler(TARGET)
    flags = [*C_FLAGS, "-g", *SANITIZERS[request.param]]
    try:
        (folder / "probe.c").write_text("int main(void) { return 0; }\n")
        compiler.run([*flags, "probe.c", "-o", "probe"], folder)
    except LowbitError as error:
        pytest.skip(f"no {request.param} sanitizer: {str(error).splitlines()[-1]}")
    sources = sorted(RUNTIME_FOLDER.glob("*.c"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda source: compiler.run([*flags, "-c", source, "-o", f"{source.stem}.o"], folder), sources))
    return request.param, folder


def build(network: Network, sanitizer: str, runtime: Path, folder: Path) -> Path:
    compiler, flags = find_compiler(network.target), [*C_FLAGS, "-g", *SANITIZERS[sanitizer]]
    (folder / "network.c").write_text(driver_source(network.program, network.target, "lowbit_tested"))
    header = network_header(network.program, "lowbit_tested")
    (folder / "network.h").write_text(
        header
        + f"#define OPERATIONS {len(network.program.calls)}\n#define lowbit_network lowbit_tested_network\n".join(
            f"#define lowbit_{name} lowbit_tested_{name}\n"
            for name in ("open", "open_memory", "open_part", "run", "profile", "set_threads", "threads", "close", "error", "info")
        )
    )
    objects = []
    for i, content in enumerate(network.kernels.values()):
        (folder / f"kernel{i}.o").write_bytes(content)
        objects.append(f"kernel{i}.o")
    driver = Path(__file__).with_name("driver.c")
    compiled = sorted(path for path in runtime.glob("*.o"))
    compiler.run([*flags, f"-I{RUNTIME_FOLDER}", "-I.", driver, "network.c", *compiled, *objects, "-lm", "-o", "driver"], folder)
    return folder / "driver"


def run(driver: Path, sanitizer: str, program: Program) -> subprocess.CompletedProcess[str]:
    """The driver beside its weights.  The thread sanitizer of older compilers needs addresses that are not chosen at random."""
    weights = driver.with_name("weights")
    weights.write_bytes(weights_file(program))
    sizes = [",".join(str(math.prod(shape)) for shape in some) for some in (program.input_shapes, program.output_shapes)]
    fixed = [shutil.which("setarch"), os.uname().machine, "-R"] if sanitizer == "thread" and shutil.which("setarch") else []
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "TSAN_OPTIONS": "halt_on_error=1"}
    command = [*map(str, fixed), str(driver), str(weights), ROUNDS, *sizes]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_findings(name: str, runtime: tuple[str, Path], networks: dict[str, Network], tmp_path: Path) -> None:
    sanitizer, compiled = runtime
    if name == "toy":
        program, _ = linear_network()
        kernels = {s: compile_c(s, TARGET, SANITIZERS[sanitizer]) for s in program.specs if isinstance(s, CSpec)}
        network = Network(program, kernels, TARGET)
    else:
        network = networks[name]
    done = run(build(network, sanitizer, compiled, tmp_path), sanitizer, network.program)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-5000:]


FAULTS = {
    "address": ("{ volatile int n = 3; int *p = malloc(8); p[n] = 1; free(p); }", "AddressSanitizer|error: store to address"),
    "thread": ("static int shared; shared += 1;", "data race"),
}


def test_findings_are_seen(runtime: tuple[str, Path], tmp_path: Path) -> None:
    """A kernel that writes behind its memory, or that all threads write to."""
    sanitizer, compiled = runtime
    fault, seen = FAULTS[sanitizer]
    program, _ = linear_network()
    kernels: dict[KernelSpec, bytes] = {}
    for spec in program.specs:
        assert isinstance(spec, CSpec)
        body = spec.body.replace("float *out = o;", f"float *out = o; {fault}")
        kernels[spec] = compile_c(spec, TARGET, (*SANITIZERS[sanitizer], "-Wno-error"), "#include <stdlib.h>\n", body)
    driver = build(Network(program, kernels, TARGET), sanitizer, compiled, tmp_path)
    done = run(driver, sanitizer, program)
    assert done.returncode
    assert re.search(seen, done.stderr), done.stderr
