"""Ways to choose the next plan, one file a way of our own; those of Optuna in samplers.py."""

from __future__ import annotations

from lowbit.search.strategies.strategy import Problem, Strategy
from lowbit.search.strategies.table import STRATEGIES, find_strategy

__all__ = ["STRATEGIES", "Problem", "Strategy", "find_strategy"]
