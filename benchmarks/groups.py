"""What `make bench` measures, and how one group of rows is measured.

A group is one network, batch size and number of threads in several configurations, beside other runtimes; its rows are
timed in turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.bench import CHECKED_INPUTS, BenchPlan, float64_outputs, layer_outputs, oracle_inputs, prepare
from lowbit.compiler import compile as compile_network
from lowbit.graph import Graph
from lowbit.measure.latency import measure_latency
from lowbit.measure.load import Load
from lowbit.measure.output_check import OutputCheck, check_outputs
from lowbit.measure.peers import Peer, PeerModels, build_models, load_peers
from lowbit.measure.rows import BenchRow, with_speedups
from lowbit.measure.size import bytes_on_disk
from lowbit.quantization import parse_config, quantize_graph
from lowbit.runtime.compiled import Compiled
from lowbit.tracer import trace
from lowbit.zoo import load_network

__all__ = ["CONFIGS", "Group", "Prepared", "configs_of", "groups", "measure_group", "runs_within"]

NETWORKS = ("resnet50", "resnet18", "mobilenet_v1", "mobilenet_v2", "squeezenet1_1")
BATCHES = (1, 8)
THREADS = (1, 2)
CONFIGS = ("fp32", "8/int8", "4/int4", "2/int2", "1/int1")
MORE_CONFIGS = {("resnet50", 1): ("fp32", "w16a16", "w8a8", "w8a7", "w7a7", "w4a8", "w4a4", "2/int2", "1/int1")}

SECONDS = 10.0  # of timed runs a group, where that allows LEAST_RUNS of each subject
LEAST_RUNS, MOST_RUNS = 6, 30


@dataclass(frozen=True)
class Group:
    """``key`` names it in the results."""

    network: str
    batch: int
    threads: int

    @property
    def key(self) -> str:
        return f"{self.network} batch {self.batch} threads {self.threads}"

    @property
    def title(self) -> str:
        return f"{self.network}, batch {self.batch}, {self.threads} thread{'s' if self.threads > 1 else ''}"


def groups(networks: Iterable[str] = NETWORKS, batches: Iterable[int] = BATCHES, threads: Iterable[int] = THREADS) -> list[Group]:
    """All of them, those of one network together, so that what they share is made once."""
    return [Group(network, batch, count) for network in networks for batch in batches for count in threads]


def configs_of(group: Group) -> tuple[str, ...]:
    return MORE_CONFIGS.get((group.network, group.batch), CONFIGS)


@dataclass(frozen=True, eq=False)
class Answers:
    """``oracle``: the right outputs of the first inputs, None for float; ``layers``: as ``check_outputs`` takes them."""

    oracle: list[np.ndarray] | None
    layers: Mapping[str, list[np.ndarray]]


class Prepared:
    """What the groups of one network share: weights, inputs, ranges of values, right answers, files of the peers.

    An input is one image; a batch of eight is the eight checked images, so its rows have known answers too.
    ``checked``: at most how many images are compared with the oracle.
    """

    def __init__(self, network: str, checked: int = CHECKED_INPUTS) -> None:
        self.network = network
        given = prepare(BenchPlan(network, CONFIGS, threads=1))
        self.model, self.graph = given.model, given.graph
        self.calibration_inputs, self.inputs, self.calibration = given.samples, given.inputs, given.calibration
        self.checked = checked
        self._graphs: dict[int, Graph] = {1: self.graph}
        self._answers: dict[str, Answers] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="lowbit-bench-")
        self._models: dict[int, PeerModels] = {}

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    @property
    def folder(self) -> Path:
        return Path(self._folder.name)

    @cached_property
    def reference(self) -> list[np.ndarray]:
        """Outputs of the float64 network, one array an image."""
        return float64_outputs(self.model, self.inputs)

    @cached_property
    def macs(self) -> int:
        """Of one image."""
        return sum(self._macs(node.name) for node in self.graph.nodes if node.op in ("conv2d", "linear"))

    def _macs(self, name: str) -> int:
        node = next(node for node in self.graph.nodes if node.name == name)
        weights, out = self.graph.constants[node.inputs[1]], self.graph.types[name].shape
        return int(np.prod(out)) * int(np.prod(weights.shape[1:]))

    def graph_of(self, config: str, batch: int) -> Graph:
        """The network in this configuration: an integer graph, or the float one.  Ranges are the same for all batches."""
        if batch not in self._graphs:
            _, examples = load_network(self.network, None, batch)
            self._graphs[batch] = trace(self.model, examples, name=self.network)
        chosen = parse_config(config)
        return self._graphs[batch] if chosen is None else quantize_graph(self._graphs[batch], self.calibration, chosen)

    def answers(self, config: str) -> Answers:
        """Computed once: one image at a time, whatever the batch."""
        if config not in self._answers:
            count = min(self.checked, oracle_inputs(self.macs))
            layers, oracle = layer_outputs(self.graph_of(config, 1), self.inputs[:count])
            self._answers[config] = Answers(oracle, layers)
        return self._answers[config]

    def batches(self, batch: int) -> list[np.ndarray]:
        """The checked images as inputs of this batch; the last is filled up from the first images."""
        rows = np.concatenate(self.inputs)
        return [rows[np.arange(start, start + batch) % len(rows)] for start in range(0, len(rows), batch)]

    def check(self, run: Callable[[np.ndarray], Any], batch: int, answers: Answers | None = None) -> OutputCheck:
        """The outputs of ``run``, image by image."""
        rows = np.concatenate([np.array(run(x)) for x in self.batches(batch)])[: len(self.inputs)]
        oracle, layers = (answers.oracle, answers.layers) if answers else (None, None)
        return check_outputs([row[None] for row in rows], self.reference, oracle=oracle, layers=layers)

    def peer_models(self, batch: int) -> PeerModels:
        if batch not in self._models:
            folder = self.folder / f"peers-{batch}"
            folder.mkdir()
            rows = np.concatenate(self.calibration_inputs)
            images = [rows[np.arange(start, start + batch) % len(rows)] for start in range(0, len(rows), batch)]
            self._models[batch] = build_models(self.model, images[0], images, folder)
        return self._models[batch]


@dataclass(frozen=True)
class _Subject:
    run: Callable[[np.ndarray], Any]
    bytes: int
    check: OutputCheck
    runtime: str = "lowbit"
    note: str = ""
    compile_s: float | None = None


def measure_group(
    prepared: Prepared,
    group: Group,
    configs: Sequence[str],
    peers: Sequence[str],
    *,
    target: str = "native",
    seconds: float = SECONDS,
    most_runs: int = MOST_RUNS,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Compile, check and time ``configs`` and ``peers``; plain data for JSON."""
    start = time.perf_counter()
    subjects: dict[str, _Subject] = {}
    networks = []
    for config in configs:
        network, subjects[config] = _compiled(prepared, group, config, target)
        networks.append(network)
        say(f"  {config}: {subjects[config].check.verdict or 'checked'}")
    if peers:
        for peer in load_peers(peers, prepared.peer_models(group.batch), group.threads):
            subjects[peer.config] = _peer(prepared, group, peer)
    x = prepared.batches(group.batch)[0]
    calls = {name: partial(subject.run, x) for name, subject in subjects.items()}
    runs = runs_within(calls, seconds, most_runs)
    load = Load.start()
    latencies = measure_latency(calls, runs, warmup=1, rounds=6 if runs >= 2 * LEAST_RUNS else 3)
    busy = load.stop()
    for network in networks:
        network.close()
    rows = with_speedups(
        [BenchRow(name, latencies[name], s.bytes, s.check, compile_s=s.compile_s) for name, s in subjects.items()]
    )
    largest = max(float(np.abs(want).max()) for want in prepared.reference)
    return {
        **asdict(group),
        "macs": prepared.macs * group.batch,
        "runs": runs,
        **busy,
        "seconds": time.perf_counter() - start,
        "rows": [
            {
                **row.details(),
                "samples_ms": [round(ms, 4) for ms in row.latency.samples_ms],
                "runtime": subjects[row.config].runtime,
                "note": subjects[row.config].note,
                "relative_error": row.check.max_error / largest,
            }
            for row in rows
        ],
    }


def runs_within(calls: Mapping[str, Callable[[], object]], seconds: float, most: int) -> int:
    """How often all calls can be timed in ``seconds``, by the median of three of each: LEAST_RUNS .. ``most``."""
    total = 0.0
    for call in calls.values():
        times = []
        for _ in range(3):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        total += statistics.median(times)
    return min(most, max(LEAST_RUNS, int(seconds / total)))


def _compiled(prepared: Prepared, group: Group, config: str, target: str) -> tuple[Compiled, _Subject]:
    start = time.perf_counter()
    graph = prepared.graph_of(config, group.batch)
    network = compile_network(graph, target=target, threads=group.threads, name=group.network)
    seconds = time.perf_counter() - start
    path = network.save(prepared.folder / "network.lowbit")
    check = prepared.check(network, group.batch, prepared.answers(config))
    return network, _Subject(network, bytes_on_disk(path), check, compile_s=seconds)


def _peer(prepared: Prepared, group: Group, peer: Peer) -> _Subject:
    return _Subject(peer.run, peer.bytes, prepared.check(peer.run, group.batch), peer.config.split("/")[0], peer.note)
