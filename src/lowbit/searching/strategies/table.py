"""THE table of strategies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lowbit.errors import ConfigError
from lowbit.searching.strategies.brute_force import brute_force
from lowbit.searching.strategies.greedy import greedy
from lowbit.searching.strategies.ilp import ilp
from lowbit.searching.strategies.strategy import Problem, Strategy

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

__all__ = ["STRATEGIES", "find_strategy"]


def _sampler(name: str) -> Callable[[Problem, int], BaseSampler]:
    """A function of samplers.py, which imports Optuna when it is called."""

    def make(problem: Problem, seed: int) -> BaseSampler:
        from lowbit.searching.strategies import samplers

        made: BaseSampler = getattr(samplers, name)(problem, seed)
        return made

    return make


_ALL = (
    Strategy("tpe", "tree-structured Parzen estimator (Bergstra et al. 2011), multivariate", _sampler("tpe")),
    Strategy("nsga2", "genetic, by rank and crowding (Deb et al. 2002)", _sampler("nsga2")),
    Strategy("nsga3", "genetic, by reference points (Deb, Jain 2014): for three objectives and more", _sampler("nsga3")),
    Strategy("gp", "Gaussian process: few trials, few dimensions", _sampler("gp"), trials=100),
    Strategy("random", "uniform", _sampler("random")),
    Strategy("brute-force", "every plan of a small space", None, brute_force, enumerates=True),
    Strategy("greedy", "narrows, step by step, what harms least for what it saves", None, greedy),
    Strategy("ilp", "integer linear programs over sensitivities and costs of single layers", None, ilp),
)

STRATEGIES = {strategy.name: strategy for strategy in _ALL}


def find_strategy(name: str) -> Strategy:
    """Raises ConfigError listing the names."""
    if name not in STRATEGIES:
        from difflib import get_close_matches

        near = get_close_matches(name, STRATEGIES, 1)
        raise ConfigError(f"no strategy {name!r}; known: {', '.join(STRATEGIES)}{f'; did you mean {near[0]}?' if near else ''}")
    return STRATEGIES[name]
