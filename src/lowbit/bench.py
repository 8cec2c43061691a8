"""One network in many configurations: compiled, checked, then timed in turns beside its peers."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.errors import ConfigError
from lowbit.files import scratch_folder
from lowbit.graph import Graph
from lowbit.measure.latency import measure_latency
from lowbit.measure.output_check import OutputCheck, check_outputs
from lowbit.measure.peers import Peer, build_peers, check_peers
from lowbit.measure.rows import BenchReport, BenchRow, with_speedups
from lowbit.measure.size import bytes_on_disk

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["CALIBRATION_INPUTS", "CHECKED_INPUTS", "BenchPlan", "float64_outputs", "layer_outputs", "oracle_inputs", "run_bench"]

CALIBRATION_INPUTS = 4
CHECKED_INPUTS = 8  # compared with the float network
_ORACLE_MACS = 4e9  # the oracle takes about a second for a thousand million multiply-accumulates


@dataclass(frozen=True)
class BenchPlan:
    """What to measure.  Making one checks every name, so nothing is compiled for a plan that cannot finish.

    ``configs``: forms of ``quantization.parse_config``; ``peers``: names in PEERS; ``threads``: for
    lowbit and peers alike; ``runs``: timed runs a configuration; ``batch``: images a run;
    ``input_shape``: for a factory that returns a module only.
    Raises ConfigError, ToolMissing, UnknownTarget.
    """

    network: str
    configs: tuple[str, ...]
    threads: int
    runs: int = 30
    batch: int = 1
    peers: tuple[str, ...] = ()
    target: str = "native"
    input_shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        from lowbit.quantization import parse_config
        from lowbit.targets import find_target
        from lowbit.targets.host import host_machine

        if not self.configs:
            raise ConfigError("no configuration to measure; write for example fp32,8/int8,4/int4")
        for name in self.configs:
            parse_config(name)
        if len(set(self.configs)) != len(self.configs):
            raise ConfigError(f"a configuration is given twice in {','.join(self.configs)}")
        for what in ("threads", "runs", "batch"):
            if getattr(self, what) < 1:
                raise ConfigError(f"{what} must be at least 1, got {getattr(self, what)}")
        if self.peers and not find_target(self.target).triple.startswith(f"{host_machine()}-"):
            raise ConfigError(f"peers ({', '.join(self.peers)}) run on this machine only, not on {self.target}")
        check_peers(self.peers)
        find_target(self.target)


@dataclass(frozen=True)
class _Subject:
    """One row before its time is taken."""

    run: Callable[[np.ndarray], np.ndarray]
    bytes: int
    check: OutputCheck
    compile_s: float | None = None


def run_bench(plan: BenchPlan, say: Callable[[str], None] = lambda _: None) -> tuple[BenchReport, dict[str, Compiled]]:
    """Measure ``plan``; returns the report and the compiled networks by configuration.

    ``say`` hears one line about each step.
    """
    from lowbit.compiler import trace
    from lowbit.measure.machine import commit, cpu_features, machine, versions
    from lowbit.zoo import load_network
    from lowbit.zoo.samples import smooth_samples

    model, examples = load_network(plan.network, plan.input_shape, plan.batch)
    if len(examples) != 1:
        raise ConfigError(f"{plan.network} takes {len(examples)} inputs; bench measures networks of one input")
    shape = tuple(examples[0].shape)
    pictures = [smooth_samples(shape, seed).numpy() for seed in range(CALIBRATION_INPUTS + CHECKED_INPUTS)]
    calibration, inputs = pictures[:CALIBRATION_INPUTS], pictures[CALIBRATION_INPUTS:]
    reference = float64_outputs(model, inputs)
    graph = trace(model, examples, name=plan.network)
    subjects: dict[str, _Subject] = {}
    networks: dict[str, Compiled] = {}
    with scratch_folder() as folder:
        for name in plan.configs:
            networks[name], seconds = _compile(graph, name, plan, calibration)
            subjects[name] = _check(networks[name], seconds, inputs, reference, folder)
            say(f"{name}: compiled in {seconds:.1f} s{_warning(subjects[name].check)}")
        for peer in build_peers(plan.peers, model, inputs[0], calibration, plan.threads, folder):
            subjects[peer.config] = _peer(peer, inputs, reference)
            say(f"{peer.config}: loaded")
        say(f"timing {len(subjects)} configurations, {plan.runs} runs each, in turns")
        latencies = measure_latency({name: partial(s.run, inputs[0]) for name, s in subjects.items()}, plan.runs)
    rows = [BenchRow(name, latencies[name], s.bytes, s.check, compile_s=s.compile_s) for name, s in subjects.items()]
    report = BenchReport(
        plan.network, plan.batch, plan.threads, machine(), cpu_features(), versions(), commit(), with_speedups(rows), _notes(plan)
    )
    return report, networks


def oracle_inputs(macs: int) -> int:
    """How many of the checked inputs are compared with the oracle integer for integer: 2 .. CHECKED_INPUTS."""
    return int(np.clip(_ORACLE_MACS // max(macs, 1), 2, CHECKED_INPUTS))


def _notes(plan: BenchPlan) -> tuple[str, ...]:
    what = f"{CALIBRATION_INPUTS} calibration inputs and {CHECKED_INPUTS} checked inputs"
    if ":" not in plan.network:
        what = f"weights, {what}"
    return (
        f"{what} are random with fixed seeds: they show that the arithmetic is right and how fast it is, "
        "not how accurate a trained network would be",
    )


def float64_outputs(model: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What ``model`` answers in float64: what float rows are compared with."""
    import torch

    exact = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        return [exact(torch.from_numpy(x).double()).numpy() for x in inputs]


def _compile(graph: Graph, name: str, plan: BenchPlan, calibration: Sequence[np.ndarray]) -> tuple[Compiled, float]:
    from lowbit.compiler import compile as compile_network
    from lowbit.quantization import parse_config

    start = time.perf_counter()
    network = compile_network(
        graph,
        config=parse_config(name),
        calibration=[(x,) for x in calibration],
        target=plan.target,
        threads=plan.threads,
        name=plan.network,
    )
    return network, time.perf_counter() - start


def _check(
    network: Compiled, seconds: float, inputs: Sequence[np.ndarray], reference: Sequence[np.ndarray], folder: Path
) -> _Subject:
    path = folder / "network.lowbit"
    network.save(path)
    outputs = [np.array(network(x)) for x in inputs]
    layers, oracle = layer_outputs(network.graph(), inputs[: oracle_inputs(network.manifest["macs"])])
    checked = check_outputs(outputs, reference, oracle=oracle, layers=layers)
    return _Subject(network, bytes_on_disk(path), checked, seconds)


def layer_outputs(graph: Graph, inputs: Sequence[np.ndarray]) -> tuple[dict[str, list[np.ndarray]], list[np.ndarray] | None]:
    """Outputs of every convolution and linear layer, and the network's outputs as the oracle has them;
    the latter None for a float network, which has no oracle."""
    import torch

    from lowbit.frontend.evaluation import evaluate
    from lowbit.graph.interpreter import interpret

    layers: dict[str, list[np.ndarray]] = {node.name: [] for node in graph.nodes if node.op in ("conv2d", "linear")}

    def observe(name: str, value: Any) -> None:
        if name in layers:
            layers[name].append(np.asarray(value))

    if all(value.quant is None for value in graph.types.values()):
        for x in inputs:
            evaluate(graph, [torch.from_numpy(x)], observe)
        return layers, None
    return layers, [interpret(graph, [x], observe)[0] for x in inputs]


def _peer(peer: Peer, inputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> _Subject:
    return _Subject(peer.run, peer.bytes, check_outputs([peer.run(x) for x in inputs], reference))


def _warning(check: OutputCheck) -> str:
    return f"  !! {check.verdict}" if check.verdict else ""
