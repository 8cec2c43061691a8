"""The loop: the next plan, its metrics, its place in the study, until there are enough."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.errors import (
    ChoiceError,
    ConfigError,
    NumericsError,
    UnsupportedOperation,
    UnsupportedPrecision,
)
from lowbit.progress import stage
from lowbit.searching.fronts import front
from lowbit.searching.objectives import as_costs, weighted_sum
from lowbit.searching.strategies import Strategy
from lowbit.searching.strategies.strategy import Plan, Problem, Tried, plan_of, suggest
from lowbit.searching.study import ATTRIBUTE

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from lowbit.searching.candidate import Candidate

__all__ = ["Loop", "complete", "measured", "measured_plan", "tried"]

_IMPOSSIBLE = (UnsupportedPrecision, UnsupportedOperation, NumericsError, ChoiceError)
_PATIENCE = 20  # plans in a row that cannot be made real


class _Surplus(Exception):
    """Another worker began the last trial a moment earlier."""


class _Impossible(Exception):
    """A plan that no network can be made of."""


def tried(study: Study, problem: Problem) -> list[Tried]:
    """The complete trials of a study, in order."""
    found = []
    for trial in complete(study):
        plan = plan_of(trial, problem.space)
        held = trial.user_attrs.get(ATTRIBUTE)
        if plan is not None and held is not None:
            metrics = held["metrics"]
            found.append(Tried(plan, metrics, [c.violation(metrics) for c in problem.constraints]))
    return found


def complete(study: Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


@dataclass(eq=False)
class Loop:
    """``trials``: complete ones that there shall be in the end, of all workers together.  ``wanted``: metrics to compute.
    ``worker``: said in every trial.  ``measure``: what finds the metrics of a plan in place of :func:`measured`."""

    study: Study
    problem: Problem
    strategy: Strategy
    trials: int
    wanted: Sequence[str]
    worker: str = ""
    timeout: float | None = None
    measure: Callable[[Plan], dict[str, Any]] | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _failures: int = 0
    _propose: Callable[[Sequence[Tried], Sequence[Plan]], Plan | None] | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def run(self, workers: int = 1, progress: bool | None = None) -> bool:
        """False: interrupted."""
        if self.strategy.propose is not None:
            self._propose = self.strategy.propose(self.problem)
        self.study.sampler = self._sampler()
        until = None if self.timeout is None else time.monotonic() + self.timeout
        done = len(complete(self.study))
        with stage(f"search, {self.strategy.name}", self.trials, progress) as advance:
            advance(done)
            lock = threading.Lock()

            def note() -> None:
                nonlocal done
                with lock:
                    now = len(complete(self.study))
                    advance(now - done, f"search, {self.strategy.name}; {self.best()}")
                    done = now

            if workers <= 1:
                try:
                    self._work(note, until)
                except KeyboardInterrupt:
                    return False
                return True
            with ThreadPoolExecutor(workers) as pool:
                jobs = [pool.submit(self._work, note, until) for _ in range(workers)]
                try:
                    for job in jobs:
                        job.result()
                except KeyboardInterrupt:
                    return False
                finally:
                    self._stop.set()
        return True

    def _sampler(self) -> Any:
        from lowbit.searching.strategies.samplers import Proposing, Seeded

        if self.strategy.sampler is not None:
            return Seeded(self.strategy.sampler, self.problem)
        return Proposing(self.problem, self._next)

    def _taken(self, study: Study) -> list[Plan]:
        from optuna.trial import TrialState

        states = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
        plans = [plan_of(trial, self.problem.space) for trial in study.get_trials(deepcopy=False, states=states)]
        return [plan for plan in plans if plan is not None]

    def _next(self, study: Study) -> Plan | None:
        assert self._propose is not None
        return self._propose(tried(study, self.problem), self._taken(study))

    def _work(self, note: Callable[[], None], until: float | None) -> None:
        import optuna
        from optuna.trial import TrialState

        while not self._stop.is_set() and (until is None or time.monotonic() < until):
            states = [trial.state for trial in self.study.get_trials(deepcopy=False)]
            done, running, waiting = (states.count(s) for s in (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING))
            if done >= self.trials:
                return
            if not waiting and (done + running >= self.trials or self._exhausted()):
                if not running or not self._hears_of_deaths():
                    return
                time.sleep(0.2)  # others are at the last trials; one that dies is tried again
                optuna.storages.fail_stale_trials(self.study)
                continue
            self.study.optimize(
                self._objective, n_trials=1, catch=(_Surplus, _Impossible), callbacks=[lambda _, t: self._after(t, note)]
            )

    def _hears_of_deaths(self) -> bool:
        """Whether the storage knows which running trials are alive; else those of others are not waited for."""
        interval = getattr(self.study._storage, "get_heartbeat_interval", lambda: None)
        return interval() is not None

    def _after(self, trial: FrozenTrial, note: Callable[[], None]) -> None:
        from optuna.trial import TrialState

        if trial.state == TrialState.COMPLETE:
            self._failures = 0
            note()

    def _exhausted(self) -> bool:
        """Whether no plan is left that a proposing strategy has not given, or that no space has."""
        taken = self._taken(self.study)
        if self._propose is None:
            return len({tuple(plan.values()) for plan in taken}) >= self.problem.space.size
        with self._turn:
            return self._propose(tried(self.study, self.problem), taken) is None

    def _objective(self, trial: Trial) -> float | Sequence[float]:
        from lowbit.searching.strategies.samplers import rank_of

        if rank_of(self.study, self.study._storage.get_trial(trial._trial_id)) >= self.trials:
            raise _Surplus("enough trials are running")
        trial.set_user_attr("worker", self.worker)
        plan = suggest(trial, self.problem.space)
        try:
            held = self._known(trial.number, plan) or self._measured(plan)
        except _IMPOSSIBLE as error:
            trial.set_user_attr("failed", f"{type(error).__name__}: {error}")
            self._failures += 1
            if self._failures >= _PATIENCE:
                raise ConfigError(f"the last {_PATIENCE} plans cannot be made real, the last one because: {error}") from error
            raise _Impossible(str(error)) from error
        except KeyboardInterrupt:
            self.study.enqueue_trial(plan)
            raise
        trial.set_user_attr(ATTRIBUTE, held)
        for constraint in self.problem.constraints:
            trial.set_constraint(constraint.text, constraint.violation(held["metrics"]))
        return self.values(held["metrics"])

    def values(self, metrics: dict[str, float]) -> float | list[float]:
        """What Optuna optimises."""
        objectives = self.problem.objectives
        if self.problem.single:
            return objectives[0].scaled(metrics) if len(objectives) == 1 else weighted_sum(objectives, metrics)
        return [objective.scaled(metrics) for objective in objectives]

    def _known(self, number: int, plan: Plan) -> dict[str, Any] | None:
        """What an earlier trial of the same plan found: noise is not drawn twice."""
        for other in complete(self.study):
            if other.number < number and plan_of(other, self.problem.space) == plan and ATTRIBUTE in other.user_attrs:
                return {**other.user_attrs[ATTRIBUTE], "same_as": other.number, "seconds": 0.0}
        return None

    def _measured(self, plan: Plan) -> dict[str, Any]:
        return self.measure(plan) if self.measure else measured_plan(self.problem, plan, self.wanted)

    def best(self) -> str:
        """A few words about the best so far."""
        seen = tried(self.study, self.problem)
        good = [one for one in seen if one.feasible]
        objectives = self.problem.objectives
        if not good:
            return f"{len(seen)} trials, none holds to {' and '.join(c.text for c in self.problem.constraints)}"
        if self.problem.single:
            best = min(good, key=lambda one: float(as_costs(objectives, one.metrics, True)[0]))
            return "best " + ", ".join(f"{o.name} {best.metrics[o.name]:.5g}" for o in objectives)
        points = np.stack([as_costs(objectives, one.metrics, False) for one in good])
        ends = [f"{o.name} {(max if o.maximize else min)(one.metrics[o.name] for one in good):.5g}" for o in objectives]
        return f"front of {int(front(points).sum())}; best {', '.join(ends)}"


def measured_plan(problem: Problem, plan: Plan, wanted: Sequence[str]) -> dict[str, Any]:
    """:func:`measured` of a plan of the space."""
    return measured(problem, lambda: problem.evaluator.candidate(plan), wanted)


def measured(problem: Problem, make: Callable[[], Candidate], wanted: Sequence[str]) -> dict[str, Any]:
    """What a trial holds: metrics with their errors, the layers' types, which images were right, a digest of the integers."""
    from lowbit.graph.fingerprint import fingerprint

    began = time.perf_counter()
    candidate = make()
    found = problem.evaluator.measure(candidate, wanted)
    held: dict[str, Any] = {
        "metrics": {name: one.value for name, one in found.items()},
        "errors": {name: one.error for name, one in found.items() if one.error},
        "layers": candidate.layer_types,
        "digest": fingerprint(candidate.graph),
    }
    if "outcomes" in vars(candidate):
        held["right"] = np.packbits(candidate.outcomes.ranks == 0).tobytes().hex()
    for name in ("network", "timed"):
        if name in vars(candidate):
            vars(candidate)[name].close()
    held["seconds"] = round(time.perf_counter() - began, 3)
    return held
