"""Tuning a network: which problems it has, how long each is searched, what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from lowbit.backend.table import obstacle
from lowbit.errors import ConfigError
from lowbit.graph import Graph
from lowbit.kernels.conv2d.selection.candidates import LIMIT, candidates
from lowbit.kernels.conv2d.selection.decide import Request
from lowbit.kernels.conv2d.selection.decision import Decision, Key
from lowbit.lowering import lower
from lowbit.numerics.float_products import FLOAT32, FloatProducts
from lowbit.progress import Stage, stage
from lowbit.targets import Target
from lowbit.tuning.database import user_database
from lowbit.tuning.measure import Measurer
from lowbit.tuning.search import Measure, Search
from lowbit.tuning.trial import Trial

__all__ = ["SECONDS", "Problem", "TuneReport", "TunedLayer", "check_runs", "collect_problems", "tune_graph"]

SECONDS = 60.0
_FIRST = 9  # decisions measured of every problem before more are of any: one program


@dataclass(frozen=True, eq=False)
class Problem:
    """A request and all layers of the network that make it."""

    request: Request
    layers: tuple[str, ...]

    @property
    def macs(self) -> int:
        return self.request.macs * len(self.layers)


@dataclass(frozen=True)
class TunedLayer:
    """``default_us``, ``tuned_us``: of one of ``layers``, computed as the model chooses and as measured best."""

    layers: tuple[str, ...]
    default_us: float
    tuned_us: float
    decision: Decision


@dataclass(frozen=True)
class TuneReport:
    """``untuned``: layers that the time was too short for.  ``measured``: programs run by this call."""

    network: str
    threads: int
    rows: tuple[TunedLayer, ...]
    untuned: tuple[str, ...]
    measured: int
    database: Path

    @property
    def default_us(self) -> float:
        return sum(row.default_us * len(row.layers) for row in self.rows)

    @property
    def tuned_us(self) -> float:
        return sum(row.tuned_us * len(row.layers) for row in self.rows)

    @property
    def gap(self) -> float:
        """How much longer the tuned layers take without tuning, in %."""
        return 100 * (self.default_us / self.tuned_us - 1) if self.rows else 0.0


@dataclass(eq=False)
class _Recorder:
    """``Decisions`` that has none and remembers who asked."""

    requests: list[Request] = field(default_factory=list)

    def find(self, request: Request) -> None:
        self.requests.append(request)

    def refuse(self, request: Request, decision: Decision) -> None:
        raise AssertionError("nothing was decided")


def collect_problems(graph: Graph, target: Target, pattern: str = "*", floats: FloatProducts = FLOAT32) -> list[Problem]:
    """The distinct problems of the layers that match ``pattern`` (fnmatch), most work first.

    Raises ConfigError for a pattern that matches no convolution.
    """
    recorder = _Recorder()
    lower(graph, target, recorder, floats=floats)
    layers: dict[Key, list[str]] = {}
    requests: dict[Key, Request] = {}
    for request in recorder.requests:
        if fnmatchcase(request.problem.layer, pattern):
            requests.setdefault(request.key, request)
            layers.setdefault(request.key, []).append(request.problem.layer)
    if recorder.requests and not requests:
        names = ", ".join(dict.fromkeys(request.problem.layer for request in recorder.requests))
        raise ConfigError(f"{pattern!r} matches no layer that can be tuned; there are: {names}")
    return sorted((Problem(requests[key], tuple(layers[key])) for key in requests), key=lambda problem: -problem.macs)


def check_runs(target: Target) -> None:
    """Raises ConfigError for a target on which nothing can be measured here."""
    if why := obstacle(target):
        raise ConfigError(f"tuning measures on this machine, which cannot run {target.name}{why}; tune on a machine that can")


def tune_graph(
    graph: Graph,
    target: Target,
    threads: int,
    seconds: float = SECONDS,
    trials: int = LIMIT,
    pattern: str = "*",
    progress: bool | None = None,
    measure: Measure | None = None,
    floats: FloatProducts = FLOAT32,
) -> TuneReport:
    """Measure the convolutions of ``graph`` for about ``seconds`` and keep what is found in the user's database.

    ``trials``: decisions a problem.  ``floats``: how float32 layers may multiply.  What a database holds already is not
    measured again, so an interrupted call is continued by the next one.  Raises ConfigError for a target that this
    machine cannot run, ``seconds`` <= 0, ``trials`` < 1, a pattern that matches nothing, or a cache that cannot be
    written.
    """
    check_runs(target)
    numbers = type(seconds) in (int, float) and type(trials) is int
    if not numbers or not seconds > 0 or trials < 1:
        raise ConfigError(f"tuning takes more than 0 seconds and at least 1 trial, got {seconds!r} and {trials!r}")
    if not isinstance(pattern, str):
        raise ConfigError(f"pattern is text such as 'layer1.*', not {pattern!r}")
    database = user_database(target)
    try:
        database.append([])
    except OSError as error:
        raise ConfigError(
            f"cannot write {database.path}: {error.strerror}; name another folder with the environment variable LOWBIT_CACHE"
        ) from None
    problems = collect_problems(graph, target, pattern, floats)
    with stage("tune", 2 * len(problems), progress) as advance:
        search = Search(
            measure or Measurer(target, threads), database, threads, lambda layer, ratio: advance(0, _said(layer, ratio))
        )
        _share_out(search, problems, target, seconds, trials, advance)
    return _report(graph.name, problems, search)


def _said(layer: str, ratio: float) -> str:
    return f"tune {layer}, best {1 / ratio:.2f}x the model's choice"


def _share_out(search: Search, problems: Sequence[Problem], target: Target, seconds: float, trials: int, advance: Stage) -> None:
    """First a few decisions of every problem, then the others; their time is shared half equally, half by work."""
    end, total = search.clock() + seconds, sum(problem.macs for problem in problems)
    parts = [1 / len(problems) + problem.macs / total for problem in problems]
    for shared, limit in ((False, min(_FIRST, trials)), (True, trials)):
        for index, problem in enumerate(problems):
            left = end - search.clock()
            if left > 0:
                request = problem.request
                found = candidates(request.problem, request.weights, target, limit)
                search.run(request, found, left * parts[index] / sum(parts[index:]) if shared else left)
            advance()


def _report(network: str, problems: Sequence[Problem], search: Search) -> TuneReport:
    rows: list[TunedLayer] = []
    untuned: list[str] = []
    for problem in problems:
        trial: Trial | None = search.best(problem.request.key)
        if trial is None:
            untuned += problem.layers
        else:
            rows.append(TunedLayer(problem.layers, trial.ns / trial.ratio / 1e3, trial.ns / 1e3, trial.decision))
    return TuneReport(network, search.threads, tuple(rows), tuple(untuned), search.measured, search.database.path)
