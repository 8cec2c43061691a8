"""What all plans of a search share: the network, its calibration, the images, the clock."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from lowbit.compiler import build
from lowbit.data import Batch, Dataset
from lowbit.errors import ConfigError, LowbitError
from lowbit.evaluation.checks import check_batch, check_labels
from lowbit.evaluation.networks import CompiledRunner
from lowbit.graph import Graph
from lowbit.graph.rebatch import mixes_rows
from lowbit.lowering import Program, lower
from lowbit.measure.scores import Outcomes, outcomes_of
from lowbit.methods.judge import Judge
from lowbit.runtime import Compiled
from lowbit.searching.candidate import Candidate
from lowbit.searching.clock import Clock, Reading
from lowbit.searching.metrics import METRICS, Metric, Value, find_metric
from lowbit.searching.numbers import Numbers
from lowbit.searching.opened import Opened, open_program
from lowbit.searching.quiet import busy
from lowbit.searching.remembered import Remembered
from lowbit.searching.space import Space
from lowbit.targets import Target
from lowbit.tuning.lookup import Lookup, make_lookup, tuning_enabled

__all__ = ["Evaluator"]

_HELD_BYTES = 1 << 30  # images are kept in memory up to here
_SENSITIVITY_ROWS = 256


@dataclass(eq=False)
class Evaluator:
    """``graph``: canonical float graph, of the batch that judges.  ``data``: the images, the same for every plan.  ``host``: what
    this machine is; ``target``: what is timed, on ``threads`` threads, with ``timed_rows`` rows."""

    graph: Graph
    space: Space
    numbers: Numbers
    data: Dataset
    host: Target
    target: Target
    clock: Clock
    threads: int
    timed_rows: int
    _lookups: dict[str, Lookup] = field(default_factory=dict)
    _decider: Remembered = field(default_factory=Remembered)
    _once: threading.RLock = field(default_factory=threading.RLock)
    _held: list[Batch] | None = None

    def __post_init__(self) -> None:
        shape = self.graph.types[self.graph.inputs[0]].shape
        if self.timed_rows != shape[0] and (why := mixes_rows(self.graph)):
            raise ConfigError(f"{self.graph.name}: cannot be timed with {self.timed_rows} rows: {why}; time {shape[0]}")

    # ---- making networks

    def candidate(self, params: Mapping[str, int | str]) -> Candidate:
        """The numbers of a plan, made real on demand.  Raises what choosing numbers raises."""
        with self._once, busy():
            return Candidate(self, self.numbers.plan(params))

    def apart(self, params: Mapping[str, int | str]) -> Candidate:
        """The same, put together from what was found for each width of weights, however plans are fitted."""
        with self._once, busy():
            return Candidate(self, self.numbers.apart(params))

    def uniform(self, weights: int, activations: int) -> Candidate:
        """The network of these widths everywhere."""
        with self._once, busy():
            return Candidate(self, self.numbers.uniform(weights, activations))

    def lowered(self, graph: Graph, target: Target) -> Program:
        with self._once, busy():
            if target.name not in self._lookups and tuning_enabled():
                self._lookups[target.name] = make_lookup(target, self.threads)
            return lower(graph, target, self._lookups.get(target.name), self._decider)

    def compiled(self, graph: Graph, target: Target, program: Program) -> Compiled:
        with busy():
            return build(graph, program, target, self.threads, progress=False)

    def opened(self, graph: Graph) -> Opened:
        """For this machine, only to be run."""
        program = self.lowered(graph, self.host)
        with busy():
            return open_program(program, self.host, self.threads)

    # ---- judging them

    def _batches(self, rows: int) -> Sequence[Batch]:
        """All images; kept in memory where they fit."""
        with self._once:
            if self._held is None:
                batches: list[Batch] = []
                size = 0
                for batch in self.data.batches(rows):
                    size += sum(value.nbytes for value in batch.inputs)
                    batches.append(batch)
                    if size > _HELD_BYTES:
                        raise ConfigError(
                            f"{self.data.description}: more than {_HELD_BYTES >> 30} GiB of inputs judge every plan; "
                            "name fewer images"
                        )
                if not batches:
                    raise ConfigError(f"{self.data.description}: no image to judge plans with")
                self._held = batches
            return self._held

    def outcomes(self, network: Opened) -> Outcomes:
        """A network on all images."""
        runner = CompiledRunner(network)
        found = []
        batches = self._batches(runner.rows)
        with busy():
            for batch in batches:
                check_batch(runner, batch, self.data)
                logits = runner(batch.inputs)
                check_labels(logits, batch, self.data)
                found.append(outcomes_of(logits, batch.labels))
        return Outcomes.joined(found)

    @cached_property
    def floats(self) -> Outcomes:
        """The float network, compiled, on the same images."""
        return self.outcomes(self.opened(self.graph))

    @cached_property
    def _judge(self) -> Judge:
        samples = self.numbers.calibration.samples
        if not samples:
            raise ConfigError(
                f"{self.graph.name}: sensitivities are measured on calibration samples, and none were kept: calibrate with keep= "
                "above 0, on inputs whose rows lie along axis 0"
            )
        with busy():
            return Judge.of(self.graph, tuple(value[:_SENSITIVITY_ROWS] for value in samples))

    def divergence(self, candidate: Candidate) -> float:
        """How far the outputs are from the float network's on calibration rows (methods/judge.py); no image that judges is
        seen."""
        with self._once:
            judge = self._judge
        runner = CompiledRunner(candidate.opened)
        with busy():
            if judge.logits:
                return judge.distance([runner(judge.samples)])
            rows = len(judge.samples[0]) // runner.rows * runner.rows
            parts = []
            for start in range(0, rows, runner.rows):
                parts.append(candidate.opened.outputs(*(value[start : start + runner.rows] for value in judge.samples)))
            if not parts:
                raise ConfigError(
                    f"{self.graph.name}: {len(judge.samples[0])} calibration rows are fewer than a batch of {runner.rows}"
                )
            outputs = [np.concatenate(values) for values in zip(*parts, strict=True)]
        few = Judge(tuple(v[:rows] for v in judge.samples), tuple(v[:rows] for v in judge.wanted), False)
        return few.distance(outputs)

    def measure(self, candidate: Candidate, wanted: Sequence[str]) -> dict[str, Value]:
        """The metrics of these names, and all that are cheap.  Raises LowbitError for one that cannot be computed."""
        names = list(dict.fromkeys([*wanted, *(name for name, metric in METRICS.items() if metric.cheap)]))
        return {name: self._value(find_metric(name), candidate) for name in names}

    def _value(self, metric: Metric, candidate: Candidate) -> Value:
        found = metric.of(candidate)
        if not np.isfinite(found.value):
            raise LowbitError(f"metric {metric.name} is {found.value} for this plan: it cannot be compared with others")
        return Value(float(found.value), float(found.error))

    def timed(self, candidates: Mapping[str, Candidate]) -> dict[str, Reading]:
        """Whole networks, measured in turns."""
        return self.clock.measure({name: candidate.timed for name, candidate in candidates.items()})
