"""lowbit compiled for AVX2 beside OpenVINO held to AVX2, in a process of its own.

    python -m benchmarks.avx2 [--network resnet50]

OpenVINO computes with oneDNN, which ``ONEDNN_MAX_CPU_ISA`` limits if it is set before the library is loaded; hence the
process.  Whether the limit held is read off the kernels OpenVINO says it uses.  onnxruntime has no such limit.  Part of
`make bench`, which keeps the figures; alone it prints them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results_file import ROOT

from lowbit.errors import LowbitError

__all__ = ["LIMIT", "TARGET", "honoured", "in_a_process"]

LIMIT = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
TARGET = "x86-64-v3"
PEERS = ("openvino", "nncf")


def honoured(kernels: Iterable[str]) -> bool:
    """Whether none of these kernels of oneDNN needs more than AVX2."""
    return not any("avx512" in name or "avx10" in name or "amx" in name for name in kernels)


def in_a_process(network: str, configs: Sequence[str], peers: Sequence[str], seconds: float, most_runs: int) -> dict[str, Any]:
    """The part for the results, measured by a new process under LIMIT.  Raises LowbitError where it fails."""
    with tempfile.TemporaryDirectory(prefix="lowbit-avx2-") as folder:
        path = Path(folder) / "part.json"
        plan = {"network": network, "configs": configs, "peers": peers, "seconds": seconds, "most_runs": most_runs}
        command = [sys.executable, "-m", "benchmarks.avx2", "--plan", json.dumps(plan), "--write", str(path)]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **LIMIT}, check=False)
        if done.returncode:
            raise LowbitError(f"the process under {LIMIT} failed with exit status {done.returncode}")
        part: dict[str, Any] = json.loads(path.read_text())
        return part


def _part(network: str, configs: Sequence[str], peers: Sequence[str], seconds: float, most_runs: int) -> dict[str, Any]:
    from benchmarks.groups import Group, Prepared, measure_group

    prepared = Prepared(network, checked=2)
    part = measure_group(
        prepared, Group(network, 1, 1), configs, peers, target=TARGET, seconds=seconds, most_runs=most_runs, say=print
    )
    kernels = _int8_kernels(prepared.peer_models(1).int8_model)
    prepared.close()
    return {**part, "avx2": {"kernels": kernels, "honoured": honoured(kernels)}}


def _int8_kernels(model: Path) -> dict[str, int]:
    """Convolutions and matrix products of OpenVINO's int8 network: name of a kernel -> how often."""
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(str(model)), "CPU", {"INFERENCE_NUM_THREADS": 1})
    found: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) in ("Convolution", "FullyConnected", "MatMul"):
            found[facts["primitiveType"].astype(str)] += 1
    return dict(found.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--plan", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plan:
        options.write.write_text(json.dumps(_part(**options.plan)))
        return
    from benchmarks.run import installed_peers

    from lowbit.reporting.peer_tables import group_table

    part = in_a_process(options.network, ("fp32", "8/int8", "4/int4", "2/int2", "1/int1"), installed_peers(PEERS), 10.0, 30)
    print(group_table(part), part["avx2"], sep="\n")


if __name__ == "__main__":
    main()
