"""Decisions for the compiler: the user's own measurements, else those that come with lowbit."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lowbit.errors import ConfigError
from lowbit.kernels.conv2d.selection.decide import Request
from lowbit.kernels.conv2d.selection.decision import Decision, Key
from lowbit.targets import Target
from lowbit.tuning.database import user_database
from lowbit.tuning.defaults import read_defaults
from lowbit.tuning.trial import Trial, best_trial

__all__ = ["Best", "Lookup", "best_by_key", "make_lookup", "tuning_enabled"]

Best = Mapping[Key, Mapping[int, Trial]]
"""key -> threads -> the best trial."""


def best_by_key(trials: Iterable[Trial]) -> dict[Key, dict[int, Trial]]:
    """The best of all trials of each problem and number of threads."""
    grouped: dict[tuple[Key, int], list[Trial]] = defaultdict(list)
    for trial in trials:
        grouped[trial.key, trial.threads].append(trial)
    best: dict[Key, dict[int, Trial]] = defaultdict(dict)
    for (key, threads), group in grouped.items():
        found = best_trial(group)
        assert found is not None
        best[key][threads] = found
    return dict(best)


@dataclass(eq=False)
class Lookup:
    """``Decisions`` out of ``sources``, (name, best trials) each, the first that knows a problem being taken.

    Of several numbers of threads the one nearest to ``threads`` counts (of two equally near, the larger).
    ``counts``: how many requests each source answered, how many had no answer ("untuned"), and how many answers
    the weights or the target did not allow ("refused").
    """

    threads: int
    sources: tuple[tuple[str, Best], ...]
    counts: Counter[str] = field(default_factory=Counter)
    _answered: dict[Key, str] = field(default_factory=dict)  # key -> source
    _keys: dict[str, dict[str, list[Key]]] = field(default_factory=dict)  # source -> problem -> what was measured of it

    def find(self, request: Request) -> Decision | None:
        for name, best in self.sources:
            if found := best.get(request.key) or self._again(name, best, request):
                nearest = min(found, key=lambda threads: (abs(threads - self.threads), -threads))
                self.counts[name] += 1
                self._answered[request.key] = name
                return found[nearest].decision
        self.counts["untuned"] += 1
        return None

    def _again(self, name: str, best: Best, request: Request) -> Mapping[int, Trial] | None:
        """What was measured before there were all forms that there are now."""
        if name not in self._keys:
            self._keys[name] = defaultdict(list)
            for key in best:
                self._keys[name][key.problem].append(key)
        return next((best[key] for key in self._keys[name].get(request.key.problem, ()) if request.allows(key)), None)

    def refuse(self, request: Request, decision: Decision) -> None:
        self.counts[self._answered[request.key]] -= 1
        self.counts["refused"] += 1


def tuning_enabled() -> bool:
    """Whether ``LOWBIT_TUNING`` (on or off, default on) lets measurements decide.  Raises ConfigError."""
    value = os.environ.get("LOWBIT_TUNING", "on").strip().lower()
    if value not in ("on", "off"):
        raise ConfigError(f"LOWBIT_TUNING={value!r}: write on or off")
    return value == "on"


def make_lookup(target: Target, threads: int) -> Lookup:
    """The user's database for this CPU and ``target``, then the shipped defaults."""
    user, shipped = user_database(target).trials(), read_defaults(target)
    return Lookup(threads, (("user", best_by_key(user)), ("shipped", best_by_key(shipped))))
