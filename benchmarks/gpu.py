"""What to do with half an hour of a GPU: exactness first, then compute-sanitizer, then times; three runs of at most ten minutes.

    python -m benchmarks.gpu emit FOLDER       anywhere, without a GPU: networks, kernels' cases, inputs and right results
    python -m benchmarks.gpu exact FOLDER      on the machine with the GPU: every case of every kernel, every network, bit for bit
    python -m benchmarks.gpu sanitize FOLDER   there: the same on small cases under compute-sanitizer
    python -m benchmarks.gpu time FOLDER       there: networks at every batch, and torch on the same card where torch has CUDA

The last three need numpy and NVIDIA's driver, not TVM, and write FOLDER/exact.json, ....  Each stops in time (``--seconds``)
and says what it did not come to.  ``LOWBIT_CUDA_DRIVER`` may name the emulated driver, to try all this without a GPU.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lowbit
from lowbit.targets import find_target
from lowbit.targets.gpu import host_gpus

__all__ = ["emit", "exact", "main", "timed"]

_SECONDS = 540.0
_IMAGES = 2  # different ones; a batch repeats them
_MORE = {"conv2d": 6}  # kind -> as many cases for each of others: it has forms
_NAMES = "names.json"  # of the networks
_FLOATS = {"fp32": 1e-3, "fp16": 1e-2}  # configuration -> what results may differ by, relative to the largest
_TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")


def _log(text: str) -> None:
    print(text, flush=True)


def emit(
    folder: Path,
    target: str,
    networks: Sequence[str],
    configs: Sequence[str],
    batches: Sequence[int],
    cases: int,
    kinds: Sequence[str] = (),
) -> None:
    """Writes what the other three read.  ``cases``: at most so many of each kind of kernel, or of those in ``kinds``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernels").mkdir(exist_ok=True)
    machine = find_target(target)
    for name, entry in _case_files(machine, cases, kinds):
        (folder / "kernels" / name).write_bytes(pickle.dumps(entry))
    for network in networks:
        for config in configs:
            _emit_network(folder, target, network, config, batches)
    names = {_stem(network): network for network in networks}
    (folder / _NAMES).write_text(json.dumps(names, indent=1))


def _case_files(machine: Any, most: int, kinds: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    from lowbit.backend.cuda.object import compile_cuda_kernels
    from lowbit.kernels.named import named
    from lowbit.kernels.table import KERNELS

    for kind, row in KERNELS.items():
        if kinds and kind not in kinds:
            continue
        found = list(named(row.cases)(machine))
        count = min(most * _MORE.get(kind, 1), len(found))
        chosen = [found[i] for i in sorted({int(at) for at in np.linspace(0, len(found) - 1, count)})]
        for case in chosen:
            data = compile_cuda_kernels([case.spec], machine)[case.spec]
            want = np.asarray(named(row.reference)(case.spec, **case.values))
            yield (
                f"{kind}-{case.name.replace('/', '-')}.case",
                {
                    "kernel": data,
                    "memory": {name: np.ascontiguousarray(array) for name, array in case.memory.items()},
                    "want": want,
                    "dst": None if case.dst is None else vars(case.dst),
                    "bound": case.bound,
                    "units": case.units or case.spec.units,
                },
            )
        _log(f"{kind}: {len(chosen)} of {len(found)} cases")


def _emit_network(folder: Path, target: str, name: str, config: str, batches: Sequence[int]) -> None:
    """The artifact of every batch; inputs and right results, which a CPU computes image by image."""
    from lowbit.chosen_config import asks_for_half
    from lowbit.graph.rebatch import rebatch
    from lowbit.measure.expected import expected_outputs
    from lowbit.passes.halve import halve
    from lowbit.tracer import trace
    from lowbit.zoo import load_network
    from lowbit.zoo.samples import smooth_samples

    stem = f"{_stem(name)}-{config.replace('/', '-')}"
    model, examples = load_network(name, None, 1)
    shape = tuple(examples[0].shape)
    images = np.concatenate([smooth_samples(shape, 100 + seed).numpy() for seed in range(_IMAGES)])
    if config in _FLOATS:
        graph = trace(model, examples, name=name)
        graph = halve(graph) if asks_for_half(config) else graph
        found = [expected_outputs(graph, [image[None]], float_type="float64") for image in images]
        results = [np.concatenate(parts).astype(np.float32) for parts in zip(*found, strict=True)]
    else:
        samples = [smooth_samples(shape, seed) for seed in range(4)]
        native = lowbit.compile(model, examples, config=config, calibration=samples, progress=False)
        graph = native.graph()
        results = [np.concatenate(parts) for parts in zip(*(native.outputs(image[None]) for image in images), strict=True)]
    np.savez(folder / f"{stem}.npz", images=images, **{f"out{i}": result for i, result in enumerate(results)})
    for batch in batches:
        network = lowbit.compile(graph if batch == 1 else rebatch(graph, batch), target=target, progress=False)
        network.save(folder / f"{stem}-{batch}.lowbit")
        _log(f"{stem}, batch {batch}: {len(network.layers)} kernels")


def _stem(network: str) -> str:
    """A network's name as that of files, without the sign that ends it there."""
    return network.replace(":", "_").replace("-", "_").replace("/", "_")


class _Clock:
    """Says when to stop."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        self.left: list[str] = []

    def time_for(self, name: str) -> bool:
        if time.monotonic() < self.end:
            return True
        self.left.append(name)
        return False


def _wrong(got: np.ndarray, want: np.ndarray, bound: Any) -> int:
    with np.errstate(invalid="ignore"):
        near = np.abs(got.astype(np.float64) - want.astype(np.float64)) <= bound
    return int((~(near | (got == want) | (np.isnan(got) & np.isnan(want)))).sum())


def exact(folder: Path, seconds: float = _SECONDS, small: bool = False, kernels: bool = False) -> dict[str, Any]:
    """Every case and every network; "wrong" has those that differ.  ``small``: those of few elements alone;  ``kernels``: cases
    alone."""
    from benchmarks.gpu_device import Device

    from lowbit.backend.cuda.object import read_object
    from lowbit.kernels.case import inner
    from lowbit.kernels.layout import Layout

    device, clock, wrong, done = Device(), _Clock(seconds), {}, 0
    for path in sorted((folder / "kernels").glob("*.case")):
        entry = pickle.loads(path.read_bytes())  # written by emit
        if small and entry["want"].size > 5000:
            continue
        if not clock.time_for(path.stem):
            continue
        got = device.run(read_object(entry["kernel"]), entry["memory"], entry["units"])
        want = entry["want"]
        got = got if entry["dst"] is None else inner(got, Layout(**entry["dst"]))[..., : want.shape[-1]]
        done += 1
        if count := _wrong(got, want, entry["bound"]):
            wrong[path.stem] = f"{count} of {want.size} differ"
            _log(f"{path.stem}: {wrong[path.stem]}")
    _log(f"{done} cases of kernels, {len(wrong)} wrong")
    networks = 0
    for path in [] if kernels else sorted(folder.glob("*.lowbit"), key=lambda path: path.stat().st_size):
        if small and networks:
            break
        if not clock.time_for(path.stem):
            continue
        network = lowbit.load(path)
        given, results = _given(path, network)
        got = network.outputs(given)
        loose = _FLOATS.get(path.stem.split("-")[1], 0.0)
        networks += 1
        if any(_wrong(np.asarray(a), b, loose * float(np.abs(b).max())) for a, b in zip(got, results, strict=True)):
            wrong[path.stem] = "outputs differ"
        _log(f"{path.stem}: {wrong.get(path.stem, 'equal')}")
        network.close()
    return {"cases": done, "networks": networks, "wrong": wrong, "left": clock.left}


def _given(path: Path, network: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """A batch of the images, and what is right."""
    with np.load(path.with_name(path.stem.rpartition("-")[0] + ".npz")) as held:
        arrays = dict(held)
    batch = network.input_shapes[0][0]
    order = np.arange(batch) % _IMAGES
    return np.ascontiguousarray(arrays["images"][order]), [arrays[f"out{i}"][order] for i in range(len(network.output_shapes))]


def timed(folder: Path, seconds: float = _SECONDS, runs: int = 100) -> dict[str, Any]:
    """Median and least milliseconds of a run, from the GPU's memory to it, of every network and batch: until the host knows that
    it is done, as torch is timed (``median_ms``), and between two events on the stream (``event_ms``)."""
    from benchmarks.gpu_device import Device

    device, clock, rows = Device(), _Clock(seconds), []
    stream = device.stream()
    for path in sorted(folder.glob("*.lowbit"), key=lambda path: path.stat().st_size):
        if not clock.time_for(path.stem):
            continue
        network = lowbit.load(path)
        given, results = _given(path, network)
        source, targets = device.put(given), [device.put(result) for result in results]
        samples, events = [], []
        first, last = device.event(), device.event()
        for turn in range(runs + 10):
            start = time.perf_counter()
            network._native.run_device([source], targets, stream)
            device.wait(stream)
            elapsed = 1e3 * (time.perf_counter() - start)
            device.record(first, stream)
            network._native.run_device([source], targets, stream)
            device.record(last, stream)
            between = device.milliseconds(first, last)
            if turn >= 10:
                samples.append(elapsed)
                events.append(between)
        batch = network.input_shapes[0][0]
        row = {"network": path.stem, "batch": batch, "median_ms": statistics.median(samples), "min_ms": min(samples)}
        row["event_ms"] = statistics.median(events)
        rows.append(row)
        _log(f"{path.stem}: {row['median_ms']:.3f} ms, {1e3 * batch / row['median_ms']:,.0f} images/s")
        for address in (source, *targets):
            device.free(address)
        for event in (first, last):
            device.forget(event)
        network.close()
    return {"runs": runs, "rows": rows, "torch": _torch(folder, clock), "left": clock.left}


def _torch(folder: Path, clock: _Clock) -> Any:
    """The same networks and batches in torch, or why not."""
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    if not torch.cuda.is_available():
        return "this torch finds no GPU"
    from lowbit.bench_gpu import torch_rows
    from lowbit.measure.latency import measure_latency
    from lowbit.zoo import load_network

    rows, said = [], []
    for stem, network in json.loads((folder / _NAMES).read_text()).items():
        for batch in sorted({int(path.stem.rpartition("-")[2]) for path in folder.glob(f"{stem}-*.lowbit")}):
            if clock.time_for(f"torch {stem} {batch}"):
                model, examples = load_network(network, None, batch)
                calls = {name: call for name, call, _, _ in torch_rows(model, examples[0].numpy(), said.append)}
                for name, found in measure_latency(calls, 30, pause_s=0.0, warmup=3).items():
                    rows.append(
                        {"network": stem, "batch": batch, "peer": name, "median_ms": found.median_ms, "min_ms": found.min_ms}
                    )
                    _log(f"{stem}, batch {batch}, {name}: {found.median_ms:.3f} ms")
    for text in dict.fromkeys(said):
        _log(text)
    return {"rows": rows, "not measured": sorted(set(said))}


def sanitize(folder: Path, seconds: float = _SECONDS) -> dict[str, Any]:
    """compute-sanitizer's tools on the small cases, and but for initcheck on one network; what each said.

    Kernels may read a little behind an array, and channels that nobody wrote, as long as nothing depends on them: in a network
    that is memory which initcheck calls uninitialized, in cases it is filled."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return {"missing": "compute-sanitizer is not on PATH; it is part of the CUDA toolkit", "wrong": {}, "left": list(_TOOLS)}
    clock, found, wrong = _Clock(seconds), {}, {}
    for tool in _TOOLS:
        if not clock.time_for(tool):
            continue
        command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, "-m", "benchmarks.gpu", "exact", str(folder)]
        try:
            left = max(1.0, clock.end - time.monotonic())
            words = ["--small", *(["--only-kernels"] if tool == "initcheck" else [])]
            done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=left)
        except subprocess.TimeoutExpired:
            clock.left.append(tool)
            continue
        found[tool] = (done.stdout + done.stderr)[-2000:]
        if done.returncode:
            wrong[tool] = f"exit {done.returncode}"
        _log(f"{tool}: {wrong.get(tool, 'nothing found')}")
    return {"said": found, "wrong": wrong, "left": clock.left}


def _words(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("emit", "exact", "sanitize", "time"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", default="cuda-sm90", help="of emit: the architecture of the GPU, or an older one")
    parser.add_argument("--networks", default="resnet50,resnet18,mobilenet_v2")
    parser.add_argument("--configs", default="fp16,8/int8,w4a8,4/int4,1/int1")
    parser.add_argument("--batches", default="1,8,32,128")
    parser.add_argument("--cases", type=int, default=12, help="of emit: at most so many of each kind of kernel")
    parser.add_argument("--kinds", default="", help="of emit: these kinds of kernel alone")
    parser.add_argument("--seconds", type=float, default=_SECONDS)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--small", action="store_true", help="of exact: small cases and the smallest network alone")
    parser.add_argument("--only-kernels", action="store_true", help="of exact: no network")
    given = parser.parse_args(arguments)
    if given.part == "emit":
        names, configs = _words(given.networks), _words(given.configs)
        emit(given.folder, given.target, names, configs, _numbers(given.batches), given.cases, _words(given.kinds))
        return 0
    gpus, why = host_gpus()
    if not gpus:
        _log(f"nothing to run on: {why}")
        return 2
    if given.part == "exact":
        found = exact(given.folder, given.seconds, given.small, given.only_kernels)
    elif given.part == "sanitize":
        found = sanitize(given.folder, given.seconds)
    else:
        found = timed(given.folder, given.seconds, given.runs)
    found["gpu"] = {"name": gpus[0].name, "arch": gpus[0].arch, "driver": gpus[0].driver}
    if not (given.small or given.only_kernels):
        (given.folder / f"{given.part}.json").write_text(json.dumps(found, indent=1))
    if found["left"]:
        _log(f"not come to: {', '.join(found['left'])}")
    return 1 if found.get("wrong") or found.get("missing") else 0


if __name__ == "__main__":
    sys.exit(main())
