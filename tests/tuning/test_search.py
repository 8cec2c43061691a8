"""The order of measurements, with times out of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lowbit.kernels.conv2d.selection.decide import Request, realize
from lowbit.kernels.conv2d.selection.decision import Decision, decision_of
from lowbit.targets import TARGETS
from lowbit.tuning.database import Database, Origin
from lowbit.tuning.measure import Measured
from lowbit.tuning.search import RUNGS, Search
from tests.tuning.problems import decision, request

REQUEST = request(TARGETS["x86-64-v4-vnni"])
MODEL = decision_of(REQUEST.model)
DECISIONS = [MODEL, *(decision(mr=mr, nr=nr) for nr in (16, 32, 48) for mr in range(1, 13))]
FASTEST = decision(mr=11, nr=32)


class Times:
    """A measurer: decisions take what a table says, and every program a second."""

    def __init__(self, interrupt_after: int = 1 << 30, faster: bool = True) -> None:
        self.faster = faster
        self.now = 0.0
        self.programs: list[tuple[list[Decision], int]] = []
        self.interrupt_after = interrupt_after

    def __call__(
        self, request: Request, decisions: Sequence[Decision], rounds: int, seconds: float
    ) -> tuple[Measured, list[Measured | None]]:
        if len(self.programs) == self.interrupt_after:
            raise KeyboardInterrupt
        self.programs.append((list(decisions), rounds))
        self.now += 1.0
        return Measured(1000.0, 1.0), [self.of(d) for d in decisions]

    def of(self, d: Decision) -> Measured | None:
        if d.mr == 12:
            return None  # not admissible
        slowest = 0.99 if self.faster else 1.3
        ratio = 0.5 if d == FASTEST else slowest - 0.2 + d.mr / 100 + d.nr / 1000
        return Measured(1000.0 * ratio, ratio)

    @property
    def pairs(self) -> list[tuple[Decision, int]]:
        return [(d, rounds) for decisions, rounds in self.programs for d in decisions]


def search(folder: Path, times: Times, threads: int = 2) -> Search:
    return Search(times, Database(folder / "db.jsonl", Origin("cpu", "t", "g")), threads, clock=lambda: times.now)


def test_finds_the_fastest_and_measures_the_good_ones_thoroughly(folder: Path) -> None:
    times = Times()
    done = search(folder, times)
    done.run(REQUEST, DECISIONS, 1000)
    best = done.best(REQUEST.key)
    assert best is not None
    assert (best.decision, best.ratio, best.rung) == (FASTEST, 0.5, len(RUNGS) - 1)
    for level, rung in enumerate(RUNGS):
        measured = [d for d, rounds in times.pairs if rounds == rung.rounds]
        assert len(set(measured)) == len(measured) == min(rung.keep, len(DECISIONS) - 1), level
    last = [d for d, rounds in times.pairs if rounds == RUNGS[-1].rounds]
    assert last == [FASTEST, decision(mr=1, nr=16), decision(mr=2, nr=16)]
    assert MODEL not in [d for d, _ in times.pairs]  # every program holds it anyway
    assert max(len(decisions) for decisions, _ in times.programs) == 8


def test_the_models_choice_wins_where_nothing_is_faster(folder: Path) -> None:
    times = Times(faster=False)
    done = search(folder, times)
    done.run(REQUEST, [MODEL, decision(mr=1), decision(mr=2)], 1000)
    best = done.best(REQUEST.key)
    assert best is not None
    assert (best.decision, best.ratio) == (MODEL, 1.0)
    assert len(times.programs) == 1  # there is nothing to look at more closely


def test_a_problem_with_one_decision_counts_as_measured(folder: Path) -> None:
    times = Times()
    done = search(folder, times)
    done.run(REQUEST, [MODEL], 1000)
    assert done.best(REQUEST.key) is not None
    assert [decisions for decisions, _ in times.programs] == [[]]


def test_time_is_kept(folder: Path) -> None:
    times = Times()
    search(folder, times).run(REQUEST, DECISIONS, 3.0)
    assert [rounds for _, rounds in times.programs] == [RUNGS[0].rounds] * 3 + [RUNGS[1].rounds, RUNGS[2].rounds]
    nothing = Times()
    search(folder, nothing).run(REQUEST, DECISIONS, 0.0)
    assert nothing.programs == []


@pytest.mark.parametrize("after", [0, 1, 3, 5, 6])
def test_an_interrupted_search_goes_on_where_it_stopped(folder: Path, after: int) -> None:
    first, second = Times(interrupt_after=after), Times()
    with pytest.raises(KeyboardInterrupt):
        search(folder, first).run(REQUEST, DECISIONS, 1000)
    done = search(folder, second)
    assert (done.best(REQUEST.key) is None) == (after == 0)
    done.run(REQUEST, DECISIONS, 1000)
    admissible = [pair for pair in first.pairs if pair[0].mr != 12]
    assert not set(admissible) & set(second.pairs)
    best = done.best(REQUEST.key)
    assert best is not None
    assert best.decision == FASTEST
    assert search(folder, Times()).best(REQUEST.key) == best  # it is in the file


def test_nothing_is_measured_twice(folder: Path) -> None:
    decisions = [d for d in DECISIONS if d.mr != 12]
    search(folder, Times()).run(REQUEST, decisions, 1000)
    again = Times()
    done = search(folder, again)
    done.run(REQUEST, decisions, 1000)
    assert (again.programs, done.measured) == ([], 0)
    other = Times()
    search(folder, other, threads=1).run(REQUEST, decisions, 1000)
    assert other.programs


def test_ratios_stay_comparable_when_the_model_chooses_otherwise(folder: Path) -> None:
    """As it does with other costs: what was measured beside its former choice keeps its meaning."""
    true = {MODEL: 4.0, decision(mr=1): 2.0, decision(mr=3): 3.0, decision(mr=4): 8.0}

    def measure(
        request: Request, decisions: Sequence[Decision], rounds: int, seconds: float
    ) -> tuple[Measured, list[Measured | None]]:
        own = true[decision_of(request.model)]
        return Measured(own, 1.0), [Measured(true[d], true[d] / own) for d in decisions]

    def run(request: Request, *decisions: Decision) -> dict[tuple[Decision, int], float]:
        database = Database(folder / "db.jsonl", Origin("cpu", "t", "g"))
        Search(measure, database, 2).run(request, decisions, 1000)
        return {(trial.decision, trial.rung): trial.ratio for trial in database.trials()}

    first = run(REQUEST, decision(mr=1))
    assert first == {(d, level): true[d] / 4.0 for d in (MODEL, decision(mr=1)) for level in range(len(RUNGS))}
    given = REQUEST.problem, REQUEST.weights, REQUEST.target
    for chosen in (decision(mr=3), decision(mr=1)):  # one that was not measured yet, and one that was
        model = realize(chosen, *given)
        assert model is not None
        found = run(replace(REQUEST, model=model), decision(mr=4), MODEL)
        assert found.items() >= first.items()
        assert found[decision(mr=4), 0] == 2.0
        assert found[decision(mr=3), 0] == 0.75


def test_the_watcher_hears_the_best_so_far(folder: Path) -> None:
    heard: list[tuple[str, float]] = []
    done = search(folder, Times())
    done.watch = lambda layer, ratio: heard.append((layer, ratio))
    done.run(REQUEST, DECISIONS, 1000)
    assert len(heard) == done.measured
    assert heard[0][1] > heard[-1][1]
    assert heard[-1] == ("layer", 0.5)
