"""Start-up time and peak memory of one network in lowbit and in other runtimes, each in processes of its own.

    python benchmarks/load.py [--network resnet50] [--configs fp32,8/int8] [--threads 2] [--repeats 7]
                              [--peers onnxruntime,openvino]

A process imports numpy and the runtime, opens the file (which is in the page cache), runs one input, and tells the
times of the three and its peak of resident memory (VmHWM).  ``lowbit C`` is the exported library under a program in C.
The processes of all runtimes take turns; the table has medians.  Writes benchmarks/results/<machine>-load.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lowbit.errors import LowbitError

ROOT = Path(__file__).resolve().parents[1]

# What a process does: {imports}, then with `path` and `threads` make `run`, a function of one float32 array.
_PROCESS = """
import json, sys, time
def peak():
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
import numpy
x = numpy.load(sys.argv[3])
path, threads, numpy_peak = sys.argv[1], int(sys.argv[2]), peak()
start = time.perf_counter()
{imports}
imported = time.perf_counter()
{load}
loaded = time.perf_counter()
run(x)
done = time.perf_counter()
times = {{"import_ms": imported - start, "load_ms": loaded - imported, "first_run_ms": done - loaded}}
print(json.dumps({{k: 1000 * v for k, v in times.items()}} | {{"peak_bytes": peak(), "numpy_bytes": numpy_peak}}))
"""
RUNTIMES = {
    "lowbit": ("import lowbit; lowbit.load", "run = lowbit.load(path, threads)"),
    "onnxruntime": (
        "import onnxruntime",
        "options = onnxruntime.SessionOptions(); options.intra_op_num_threads = threads\n"
        "session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])\n"
        "run = lambda x: session.run(None, {'input': x})",
    ),
    "openvino": (
        "import openvino",
        "options = {'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_NUM_THREADS': threads}\n"
        "core = openvino.Core(); request = core.compile_model(core.read_model(path), 'CPU', options).create_infer_request()\n"
        "run = lambda x: request.infer([x])",
    ),
}

_C_PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "PREFIX.h"
static double ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}
int main(int argc, char **argv) {
    if (argc != 4) return 2;
    float *x = malloc(UPPER_INPUT_0_ELEMENTS * sizeof *x), *y = malloc(UPPER_OUTPUT_0_ELEMENTS * sizeof *y);
    FILE *file = fopen(argv[3], "rb");
    if (!x || !y || !file || fread(x, sizeof *x, UPPER_INPUT_0_ELEMENTS, file) != UPPER_INPUT_0_ELEMENTS) return 1;
    const float *inputs[1] = {x};
    float *outputs[1] = {y};
    double start = ms();
    PREFIX_network *net = PREFIX_open(argv[1], atoi(argv[2]));
    double loaded = ms();
    if (!net || PREFIX_run(net, inputs, outputs)) {
        fprintf(stderr, "%s\\n", PREFIX_error());
        return 1;
    }
    double done = ms();
    char line[256];
    long peak = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, "VmHWM:", 6)) peak = atol(line + 6) * 1024;
    printf("{\\"import_ms\\": 0, \\"load_ms\\": %.3f, \\"first_run_ms\\": %.3f, ", loaded - start, done - loaded);
    printf("\\"peak_bytes\\": %ld, \\"numpy_bytes\\": 0}", peak);
}
"""


@dataclass(frozen=True)
class Subject:
    """One row: a command that prints its figures, and the bytes of what it opens."""

    runtime: str
    config: str
    command: tuple[str, ...]
    bytes: int


def python_subject(runtime: str, config: str, path: Path, threads: int, example: Path) -> Subject:
    imports, load = RUNTIMES[runtime]
    code = _PROCESS.format(imports=imports, load=load)
    return Subject(runtime, config, (sys.executable, "-c", code, str(path), str(threads), str(example)), path.stat().st_size)


def c_subject(network: Any, config: str, folder: Path, threads: int, raw: Path) -> Subject:
    """The exported library, with a program that measures itself."""
    network.export_library(folder)
    prefix = network.manifest["prefix"]
    (folder / "measure.c").write_text(_C_PROGRAM.replace("PREFIX", prefix).replace("UPPER", prefix.upper()))
    link = ["-L.", f"-l{prefix}", "-Wl,-rpath,$ORIGIN", "-o", "measure"]
    subprocess.run(["cc", "-O2", "measure.c", *link], cwd=folder, check=True)
    files = [folder / f"lib{prefix}.so", folder / f"{prefix}.weights"]
    command = (str(folder / "measure"), str(files[1]), str(threads), str(raw))
    return Subject("lowbit C", config, command, sum(file.stat().st_size for file in files))


def subjects(name: str, configs: Sequence[str], peers: Sequence[str], threads: int, folder: Path) -> list[Subject]:
    """Compile and export everything into ``folder``."""
    import numpy as np

    from lowbit.bench import BenchPlan, prepare
    from lowbit.measure.peers.onnx_models import export_float, quantize_int8

    given = prepare(BenchPlan(name, tuple(configs), threads, peers=tuple(peers)))
    example, raw = folder / "input.npy", folder / "input.raw"
    np.save(example, given.inputs[0])
    given.inputs[0].tofile(raw)
    rows = []
    for config in configs:
        network, _ = given.compile(config)
        short = config.replace("/", "-")
        path = network.save(folder / f"{short}.lowbit")
        rows.append(python_subject("lowbit", config, path, threads, example))
        rows.append(c_subject(network, config, folder / short, threads, raw))
        network.close()
    if peers:
        models = {"fp32": export_float(given.model, given.inputs[0], folder / "fp32.onnx")}
        models["int8"] = quantize_int8(models["fp32"], given.samples, folder / "int8.onnx")
        rows += [python_subject(peer, kind, path, threads, example) for peer in peers for kind, path in models.items()]
    return rows


def measure(subject: Subject) -> dict[str, float]:
    """The figures of one process."""
    done = subprocess.run(subject.command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise LowbitError(f"{subject.runtime} {subject.config} failed: {done.stderr.strip()[-500:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def rows_of(todo: Sequence[Subject], repeats: int) -> list[dict[str, Any]]:
    """Medians over ``repeats`` processes of each subject, in turns; one untimed process of each comes first."""
    samples: list[list[dict[str, float]]] = [[] for _ in todo]
    for repeat in range(repeats + 1):
        for subject, own in zip(todo, samples, strict=True):
            figures = measure(subject)
            if repeat:
                own.append(figures)
    rows = []
    for subject, own in zip(todo, samples, strict=True):
        row = asdict(subject) | {key: statistics.median(figures[key] for figures in own) for key in own[0]}
        del row["command"]
        rows.append(row | {"samples": own})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| runtime | config | file MB | import ms | load ms | first run ms | peak MB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        times = " | ".join(f"{row[key]:.1f}" for key in ("import_ms", "load_ms", "first_run_ms"))
        size, peak = row["bytes"] / 1e6, row["peak_bytes"] / 1e6
        lines.append(f"| {row['runtime']} | {row['config']} | {size:.1f} | {times} | {peak:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--configs", default="fp32,8/int8")
    parser.add_argument("--peers", default="onnxruntime,openvino")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    peers = tuple(filter(None, options.peers.split(",")))
    with tempfile.TemporaryDirectory(prefix="lowbit-load-") as folder:
        todo = subjects(options.network, options.configs.split(","), peers, options.threads, Path(folder))
        rows = rows_of(todo, options.repeats)
    print(table(rows))
    from lowbit.measure.machine import commit, file_name, machine, versions

    where = machine()
    report: dict[str, Any] = {"network": options.network, "threads": options.threads, "machine": where}
    report |= {"versions": versions(), "commit": commit(), "rows": rows}
    folder_of_results = ROOT / "benchmarks" / "results"
    folder_of_results.mkdir(exist_ok=True)
    (folder_of_results / f"{file_name()}-load.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except LowbitError as error:
        sys.exit(f"{type(error).__name__}: {error}")
