from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lowbit.backend.native import NativeNetwork
from lowbit.backend.runtime_object import RUNTIME_FOLDER
from lowbit.backend.toolchain import C_FLAGS, find_compiler
from lowbit.errors import ArtifactError
from lowbit.targets import TARGETS
from lowbit.targets.host import host_features
from tests.backend.toy import TARGET, built, linear_network


def test_a_missing_feature_is_named() -> None:
    candidates = {"avx512fp16", "avxvnniint8", "sse4a", "avx512vpopcntdq", "avx512f", "avx2"}
    host = {f.replace("avx_vnni_int8", "avxvnniint8").replace("avx512_fp16", "avx512fp16") for f in host_features()}
    absent = sorted(candidates - host)
    if not absent:
        pytest.skip("this CPU has every feature the test knows")
    library, weights = built(linear_network()[0], replace(TARGET, features=TARGET.features | {absent[0]}))
    with pytest.raises(ArtifactError, match=f"toy was compiled for x86-64; this CPU lacks {absent[0]}"):
        NativeNetwork(library, weights, 1)


def test_a_feature_nobody_knows_counts_as_missing() -> None:
    library, weights = built(linear_network()[0], replace(TARGET, features=frozenset({"sse2", "warp-drive"})))
    with pytest.raises(ArtifactError, match="this CPU lacks warp-drive"):
        NativeNetwork(library, weights, 1)


@pytest.mark.parametrize("name", [t.name for t in TARGETS.values() if t.triple.startswith("x86_64")])
def test_the_runtime_agrees_with_the_operating_system(name: str) -> None:
    """cpuid and xgetbv give the answer that /proc/cpuinfo gives."""
    target = TARGETS[name]
    library, weights = built(linear_network()[0], replace(TARGET, features=target.features))
    if target.features <= host_features():
        NativeNetwork(library, weights, 1).close()
    else:
        with pytest.raises(ArtifactError, match="this CPU lacks"):
            NativeNetwork(library, weights, 1)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("max 100000\n", 0), ("200000 100000\n", 2), ("150000 100000\n", 2), ("50000 100000\n", 1), ("", 0), ("x", 0)],
)
def test_the_quota_of_a_container(tmp_path: Path, text: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    main = 'int main(void) { printf("%d %d", lb_cpu_quota("cpu.max"), lb_cpu_quota("absent")); }\n'
    (tmp_path / "main.c").write_text('#include <stdio.h>\n#include "runtime.h"\n' + main)
    find_compiler(TARGET).run([*C_FLAGS, f"-I{RUNTIME_FOLDER}", "main.c", RUNTIME_FOLDER / "cpu.c", "-o", "main"], tmp_path)
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{cpus} 0"
