"""One network in many configurations: compiled, checked, then timed in turns beside its peers."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.errors import ConfigError
from lowbit.files import scratch_folder
from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.measure.expected import expected_outputs
from lowbit.measure.latency import measure_latency
from lowbit.measure.output_check import OutputCheck, check_outputs
from lowbit.measure.peers import Peer, build_peers, check_peers
from lowbit.measure.rows import BenchReport, BenchRow, with_speedups
from lowbit.measure.size import bytes_on_disk
from lowbit.numerics.float_products import FLOAT32, FLOATS

if TYPE_CHECKING:
    from lowbit.quantization import Calibration, QuantizationConfig
    from lowbit.runtime.compiled import Compiled

__all__ = [
    "CALIBRATION_INPUTS",
    "CHECKED_INPUTS",
    "BenchPlan",
    "Prepared",
    "float64_outputs",
    "layer_outputs",
    "oracle_inputs",
    "prepare",
    "run_bench",
]

CALIBRATION_INPUTS = 4
CHECKED_INPUTS = 8  # compared with the float network
_ORACLE_MACS = 4e9  # the oracle takes about a second for a thousand million multiply-accumulates


@dataclass(frozen=True)
class BenchPlan:
    """What to measure.  Making one checks every name, so nothing is compiled for a plan that cannot finish.

    ``configs``: forms of ``quantization.parse_config``; ``peers``: names in PEERS; ``threads``: for
    lowbit and peers alike; ``runs``: timed runs a configuration; ``batch``: images a run;
    ``input_shape``: for a factory that returns a module only.  ``floats``: as ``float`` of compile, for the configurations
    of floats.  ``quantizations``: what the ``configs`` mean.
    Raises ConfigError, ToolMissing, UnknownTarget.
    """

    network: str
    configs: tuple[str, ...]
    threads: int
    runs: int = 30
    batch: int = 1
    peers: tuple[str, ...] = ()
    target: str = "native"
    input_shape: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None = None
    floats: str = "float32"
    quantizations: Mapping[str, QuantizationConfig | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from lowbit.arguments import floats_of
        from lowbit.backend.table import obstacle
        from lowbit.chosen_config import asks_for_half, check_half
        from lowbit.quantization import parse_config
        from lowbit.targets import find_target

        if not self.configs:
            raise ConfigError("no configuration to measure; write for example fp32,8/int8,4/int4")
        if any(map(asks_for_half, self.configs)):
            check_half(find_target(self.target))
        parsed = {name: None if asks_for_half(name) else parse_config(name) for name in self.configs}
        object.__setattr__(self, "quantizations", MappingProxyType(parsed))
        if len(set(self.configs)) != len(self.configs):
            raise ConfigError(f"a configuration is given twice in {','.join(self.configs)}")
        for what in ("threads", "runs", "batch"):
            if getattr(self, what) < 1:
                raise ConfigError(f"{what} must be at least 1, got {getattr(self, what)}")
        if self.peers and obstacle(find_target(self.target)):
            raise ConfigError(f"peers ({', '.join(self.peers)}) run on this machine only, not on {self.target}")
        check_peers(self.peers)
        floats_of(self.floats, find_target(self.target), all(parsed.values()))


@dataclass(frozen=True)
class Prepared:
    """What every configuration of a plan shares: the network traced, and calibrated once.

    ``samples``: what the ranges come from; ``inputs``: others, to compare outputs on.
    ``calibration``: None where all configurations are float."""

    plan: BenchPlan
    model: Any
    graph: Graph
    samples: Sequence[np.ndarray]
    inputs: Sequence[np.ndarray]
    calibration: Calibration | None

    def compile(self, config: str) -> tuple[Compiled, float]:
        """The network in one configuration of the plan, and the seconds that took."""
        from lowbit.chosen_config import asks_for_half
        from lowbit.compiler import compile as compile_network

        plan, start = self.plan, time.perf_counter()
        network = compile_network(
            self.graph,
            config=config if asks_for_half(config) else plan.quantizations[config],
            calibration=self.calibration if plan.quantizations[config] else None,
            target=plan.target,
            threads=plan.threads,
            name=plan.network,
            float=FLOAT32.name if plan.quantizations[config] else plan.floats,
        )
        return network, time.perf_counter() - start


def prepare(plan: BenchPlan, say: Callable[[str], None] = lambda _: None) -> Prepared:
    """Traces and calibrates the network of ``plan`` on seeded pictures.  Raises ConfigError for one of several inputs."""
    from lowbit.quantizer import calibrate
    from lowbit.tracer import trace
    from lowbit.zoo import load_network
    from lowbit.zoo.samples import smooth_samples

    model, examples = load_network(plan.network, plan.input_shape, plan.batch)
    if len(examples) != 1:
        raise ConfigError(f"{plan.network} takes {len(examples)} inputs; bench measures networks of one input")
    shape = tuple(examples[0].shape)
    pictures = [smooth_samples(shape, seed).numpy() for seed in range(CALIBRATION_INPUTS + CHECKED_INPUTS)]
    samples, inputs = pictures[:CALIBRATION_INPUTS], pictures[CALIBRATION_INPUTS:]
    graph, calibration = trace(model, examples, name=plan.network), None
    if graph.is_integer and any(plan.quantizations.values()):
        raise ConfigError(f"{plan.network} is quantized already and keeps its integers; --configs fp32 measures it as it is")
    if any(plan.quantizations.values()):
        start = time.perf_counter()
        calibration = calibrate(graph, samples=samples, keep=0)
        say(f"calibrated in {time.perf_counter() - start:.1f} s")
    return Prepared(plan, model, graph, samples, inputs, calibration)


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
    from lowbit.measure.machine import commit, cpu_features, machine, versions

    given = prepare(plan, say)
    reference = float64_outputs(given.model, given.inputs)
    inputs = given.inputs
    subjects: dict[str, _Subject] = {}
    networks: dict[str, Compiled] = {}
    with scratch_folder() as folder:
        for name in plan.configs:
            networks[name], seconds = given.compile(name)
            subjects[name] = _check(networks[name], seconds, inputs, reference, folder)
            say(f"{name}: compiled in {seconds:.1f} s{_warning(subjects[name].check)}")
        for peer in build_peers(plan.peers, given.model, inputs[0], given.samples, plan.threads, folder):
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
    way = FLOATS[plan.floats]
    return (
        *(() if way is FLOAT32 else (f"fp32 may multiply as --float {way.name} asks: {way.meaning}",)),
        f"{what} are random with fixed seeds: they show that the arithmetic is right and how fast it is, "
        "not how accurate a trained network would be",
    )


def float64_outputs(model: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What ``model`` answers in float64: what float rows are compared with."""
    import torch

    exact = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        return [exact(torch.from_numpy(x).double()).numpy() for x in inputs]


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
    layers: dict[str, list[np.ndarray]] = {node.name: [] for node in graph.nodes if node.op in LAYERS}

    def observe(name: str, value: np.ndarray) -> None:
        if name in layers:
            layers[name].append(value)

    outputs = [expected_outputs(graph, [x], observe)[0] for x in inputs]
    return layers, outputs if graph.is_exact else None


def _peer(peer: Peer, inputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> _Subject:
    return _Subject(peer.run, peer.bytes, check_outputs([peer.run(x) for x in inputs], reference))


def _warning(check: OutputCheck) -> str:
    return f"  !! {check.verdict}" if check.verdict else ""
